// Search, the menu on small screens, light or dark. Nothing is fetched: the index is a script of its own.
const $ = (selector) => document.querySelector(selector);

const root = document.documentElement;
try { if (localStorage.theme) root.dataset.theme = localStorage.theme; } catch {}
$(".theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.theme = root.dataset.theme; } catch {}
});

const menu = $(".menu");
menu.addEventListener("click", () => {
  const open = document.body.classList.toggle("open");
  menu.setAttribute("aria-expanded", String(open));
});
$(".side [aria-current]")?.scrollIntoView({ block: "center" });

const input = $("input[type=search]");
const results = $(".results");

function found(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const scored = [];
  for (const [address, chapter, section, said] of PAGES) {
    const title = `${chapter} ${section}`.toLowerCase();
    const text = said.toLowerCase();
    let score = 0;
    for (const word of words) {
      const inTitle = title.includes(word);
      const times = text.split(word).length - 1;
      if (!inTitle && !times) { score = 0; break; }
      score += (inTitle ? 20 : 0) + Math.min(times, 8);
    }
    if (score) scored.push({ address, chapter, section, said, score, at: Math.max(0, text.indexOf(words[0]) - 60) });
  }
  return scored.sort((a, b) => b.score - a.score).slice(0, 30);
}

function show() {
  const list = found(input.value);
  results.hidden = !input.value.trim();
  results.replaceChildren(...list.map((one) => {
    const link = document.createElement("a");
    link.href = one.address;
    const head = document.createElement("b");
    head.textContent = one.section ? `${one.chapter}: ${one.section}` : one.chapter;
    const words = document.createElement("span");
    words.textContent = (one.at ? "…" : "") + one.said.slice(one.at, one.at + 180);
    link.append(head, words);
    return link;
  }));
  if (!list.length && input.value.trim()) results.textContent = "Nothing found.";
}
input.addEventListener("input", show);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { input.value = ""; show(); document.body.classList.remove("open"); }
  if (event.key === "/" && document.activeElement !== input) { event.preventDefault(); input.focus(); }
});
results.addEventListener("click", () => { results.hidden = true; });
