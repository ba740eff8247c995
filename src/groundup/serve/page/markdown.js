// Markdown as DOM nodes: headings, lists, quotes, tables, rules, code, emphasis and links. HTML stays text.
//
// Underscores don't emphasize: in answers about code they are parts of names (`__init__`).
import { copyButton, make } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const MAX_DEPTH = 8; // of quotes and lists in one another; deeper ones stay text

/** The blocks of a text. An open fence, as while an answer streams, runs to the end. */
export function render(text, depth = 0) {
  const lines = text.split("\n");
  const blocks = document.createDocumentFragment();
  let paragraph = [];
  const flush = () => {
    if (paragraph.length) blocks.append(make("p", {}, ...inline(paragraph.join("\n"))));
    paragraph = [];
  };
  for (let i = 0; i < lines.length; ) {
    const block = depth > MAX_DEPTH ? null : blockAt(lines, i, depth);
    if (block) {
      flush();
      blocks.append(block.element);
      i = block.next;
      continue;
    }
    if (lines[i].trim()) paragraph.push(lines[i]);
    else flush();
    i += 1;
  }
  flush();
  return blocks;
}

/** The block that begins at a line, and the line after it; null for a paragraph's line. */
function blockAt(lines, i, depth) {
  const line = lines[i];
  let match;
  if ((match = FENCE.exec(line))) return fence(lines, i, match);
  if ((match = HEADING.exec(line))) {
    const level = Math.min(match[1].length + 2, 6); // the page has h1 and h2 of its own
    return { element: make(`h${level}`, {}, ...inline(match[2])), next: i + 1 };
  }
  if (RULE.test(line)) return { element: make("hr"), next: i + 1 };
  if (QUOTE.test(line)) {
    const next = endOf(lines, i, (one) => QUOTE.test(one));
    const inner = lines.slice(i, next).map((one) => one.replace(QUOTE, ""));
    return { element: make("blockquote", {}, render(inner.join("\n"), depth + 1)), next };
  }
  if (line.includes("|") && DIVIDER.test(lines[i + 1] ?? "") && lines[i + 1].includes("-")) return table(lines, i);
  if ((match = ITEM.exec(line))) return list(lines, i, match, depth);
  return null;
}

function endOf(lines, first, belongs) {
  let next = first + 1;
  while (next < lines.length && belongs(lines[next])) next += 1;
  return next;
}

function fence(lines, i, [, mark, language]) {
  const closes = (line) => line.trim().startsWith(mark) && !line.trim().replaceAll(mark[0], "");
  const end = endOf(lines, i, (line) => !closes(line));
  const code = lines.slice(i + 1, end).join("\n");
  const head = make("div", { className: "code-head" }, make("span", {}, language || "code"), copyButton(() => code));
  const body = make("pre", { tabIndex: 0 }, make("code", {}, code)); // focusable, so that keys can scroll it
  return { element: make("div", { className: "code" }, head, body), next: end + 1 };
}

function table(lines, i) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|");
  const row = (line, tag) => make("tr", {}, ...cells(line).map((cell) => make(tag, {}, ...inline(cell.trim()))));
  const next = endOf(lines, i + 1, (line) => line.includes("|"));
  const rows = lines.slice(i + 2, next).map((line) => row(line, "td"));
  const element = make("table", {}, make("thead", {}, row(lines[i], "th")), make("tbody", {}, ...rows));
  return { element: make("div", { className: "scroll", tabIndex: 0 }, element), next };
}

function list(lines, i, [, indent, mark], depth) {
  const ordered = /\d/.test(mark);
  const element = make(ordered ? "ol" : "ul");
  if (ordered) element.start = parseInt(mark, 10);
  while (i < lines.length) {
    const match = ITEM.exec(lines[i]);
    if (!match || match[1].length !== indent.length || /\d/.test(match[2]) !== ordered || RULE.test(lines[i])) break;
    const inside = (line) => /^\s*/.exec(line)[0].length > indent.length;
    const next = endOf(lines, i, inside);
    const more = lines.slice(i + 1, next);
    const margin = Math.min(...more.map((line) => /^\s*/.exec(line)[0].length));
    const text = [match[3], ...more.map((line) => line.slice(margin))].join("\n");
    element.append(make("li", {}, render(text, depth + 1)));
    i = next;
    if (lines[i] === "" && ITEM.test(lines[i + 1] ?? "")) i += 1; // a blank line between items
  }
  return { element, next: i };
}

const INLINE = new RegExp(
  [
    "(?<tick>`+)(?!`)(?<code>[^]+?)(?<!`)\\k<tick>(?!`)",
    "\\\\(?<escaped>[\\\\`*_{}\\[\\]()#+.!|<>~-])",
    "\\*\\*(?=\\S)(?<strong>[^*]+?)(?<=\\S)\\*\\*",
    "(?<![\\w*])\\*(?=[^\\s*])(?<em>[^*]+?)(?<=[^\\s*])\\*(?![\\w*])",
    "~~(?=\\S)(?<del>[^~]+?)(?<=\\S)~~",
    "\\[(?<label>[^\\[\\]]+)\\]\\((?<target>[^\\s()]+)\\)",
    "(?<bare>\\bhttps?:/{2}[^\\s<>()\"'`]*[\\w/#=&-])",
  ].join("|"),
  "g",
);

/** The nodes of a paragraph's text. */
function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) nodes.push(text.slice(end, match.index));
    nodes.push(span(match));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

function span(match) {
  const { code, escaped, strong, em, del, label, target, bare } = match.groups;
  if (code !== undefined) return make("code", {}, code.replace(/^ (.*[^ ].*) $/, "$1"));
  if (escaped) return escaped;
  if (strong) return make("strong", {}, ...inline(strong));
  if (em) return make("em", {}, ...inline(em));
  if (del) return make("del", {}, ...inline(del));
  return link(target ?? bare, label ? inline(label) : [bare]) ?? match[0];
}

/** A link to the web; null for every other scheme, whose text stays as it is. */
export function link(href, children) {
  const scheme = URL.canParse(href) ? new URL(href).protocol : "";
  if (scheme !== "http:" && scheme !== "https:") return null;
  return make("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}
