// Where an answer comes from: the training documents nearest to it, with source, licence and address.
import { make } from "./dom.js";
import { link } from "./markdown.js";

/** The element that lists documents as the server gives them. */
export function whereView(documents) {
  if (!documents.length) return make("p", { className: "where soft" }, "No training document has a word of it.");
  const list = make("ol", { className: "where" }, ...documents.map(item));
  list.setAttribute("aria-label", "The nearest training documents");
  return list;
}

function item({ title, url, source, origin, licence, common, common_words: words, excerpt }) {
  const name = title || origin;
  const head = make("p", {}, (url && link(url, [name])) || make("b", {}, name));
  const origins = [source, origin !== name && origin, licence || "licence not stated"].filter(Boolean).join(" · ");
  const shared = words ? make("p", {}, `${words} words in a row: `, make("q", {}, common)) : "";
  return make("li", {}, head, make("p", { className: "soft" }, origins), shared, make("p", {}, excerpt));
}
