// An answer as its tokens, tinted by probability; hovering or the arrow keys show the alternatives.
import { announce, at, make } from "./dom.js";

const LEVELS = [0.9, 0.5, 0.2, 0]; // probabilities from which a token has tint 0, 1, 2, 3
const MAX_TOKENS = 4; // that share a character: it has at most four bytes in UTF-8
const percent = (logprob) => `${(100 * Math.exp(logprob)).toPrecision(3)} %`;

/** Tokens of a stream with their text. Tokens that share a character are one entry: none of them is text. */
function joined(entries) {
  const found = [];
  let group = [];
  entries.forEach((entry, index) => {
    group.push(entry);
    const bytes = new Uint8Array(group.flatMap((one) => one.bytes));
    const text = decoded(bytes);
    if (text.includes("\ufffd") && group.length < MAX_TOKENS && index < entries.length - 1) return;
    const logprob = group.reduce((sum, one) => sum + one.logprob, 0);
    found.push({ text, logprob, top: group.length === 1 ? entry.top_logprobs : [] });
    group = [];
  });
  return found;
}

const decoded = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** The element that shows an answer's tokens. */
export function tokensView(entries) {
  const tokens = joined(entries);
  const spans = tokens.map(({ text, logprob }) =>
    make("span", { className: `token tint-${LEVELS.findIndex((level) => Math.exp(logprob) >= level)}` }, text));
  const view = make("div", { className: "tokens", tabIndex: 0 }, ...spans);
  view.setAttribute("role", "group");
  view.setAttribute("aria-label", "Tokens with their probabilities; arrow keys move from token to token");
  let current = -1;
  const show = (index) => {
    spans[current]?.classList.remove("current");
    current = Math.max(-1, Math.min(index, tokens.length - 1));
    if (current < 0) { at("alternatives").hidden = true; return; }
    spans[current].classList.add("current");
    tooltip(spans[current], tokens[current]);
  };
  view.addEventListener("mouseover", (event) => show(spans.indexOf(event.target)));
  view.addEventListener("mouseleave", () => show(-1));
  view.addEventListener("blur", () => show(-1));
  view.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") show(-1);
    if (!step) return;
    event.preventDefault();
    show(Math.max(0, current + step));
    announce(`${tokens[current].text}: ${percent(tokens[current].logprob)}`);
  });
  return view;
}

function tooltip(span, { text, logprob, top }) {
  const box = at("alternatives");
  const row = (name, value, chosen) => {
    const shown = JSON.stringify(name).slice(1, -1).replaceAll(" ", "␣");
    const cells = [make("td", {}, make("code", {}, shown)), make("td", {}, percent(value))];
    return make("tr", { className: chosen ? "chosen" : "" }, ...cells);
  };
  const rows = top.map(({ token, logprob: value }) => row(token, value, token === text));
  if (!rows.some((one) => one.className)) rows.unshift(row(text, logprob, true));
  box.replaceChildren(make("table", {}, make("tbody", {}, ...rows)));
  box.hidden = false;
  const around = span.getBoundingClientRect();
  const left = Math.max(8, Math.min(around.left, document.documentElement.clientWidth - box.offsetWidth - 8));
  const above = around.top - box.offsetHeight - 6;
  box.style.left = `${left}px`;
  box.style.top = `${above > 0 ? above : around.bottom + 6}px`;
}
