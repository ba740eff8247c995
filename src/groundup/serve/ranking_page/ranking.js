// Ranking by keyboard. An answer that is picked comes after those picked before; the last one needs no key.
import { announce, at, make } from "./dom.js";

const RANKS = ["best", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"];
let state = null;
let tiers = []; // positions of answers, best first; those of a tier are equal
let joining = false; // the next pick is as good as the one before
let began = 0; // when this item came into view, without the time in which the page was hidden
let busy = false;

const picked = () => tiers.flat();
const count = () => state.item.answers.length;
const left = () => [...Array(count()).keys()].filter((one) => !picked().includes(one));

async function ask(path, body) {
  if (busy) return;
  busy = true;
  try {
    const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    let response = await fetch(path, options);
    if (response.status === 409) response = await fetch("api/state"); // judged in another window
    if (!response.ok) throw new Error(response.status);
    state = await response.json();
    at("gone").hidden = true;
    tiers = [];
    joining = false;
    began = performance.now();
    show();
  } catch {
    at("gone").hidden = false;
  } finally {
    busy = false;
  }
}

const judge = (order) =>
  ask("api/judge", { item: state.item.id, tiers: order, seconds: Math.max(0, (performance.now() - began) / 1000) });

function pick(position) {
  if (position >= count() || picked().includes(position)) return;
  if (joining && tiers.length) tiers.at(-1).push(position);
  else tiers.push([position]);
  joining = false;
  if (left().length === 1) judge([...tiers, left()]);
  else show();
}

/** All that are not picked yet are equal: to each other, or to the last pick too where the next shares its rank. */
function equal() {
  judge(joining ? [...tiers.slice(0, -1), [...tiers.at(-1), ...left()]] : [...tiers, left()]);
}

function undo() {
  if (joining) joining = false;
  else if (tiers.length) {
    tiers.at(-1).pop();
    tiers = tiers.filter((tier) => tier.length);
  } else if (state.done) return ask("api/undo", {});
  show();
}

function minutes(seconds) {
  if (seconds === null) return "";
  if (seconds < 60) return ", less than a minute left";
  const whole = Math.round(seconds / 60);
  return `, about ${whole < 90 ? `${whole} min` : `${Math.round(whole / 60)} h`} left`;
}

function show() {
  at("progress").max = state.total;
  at("progress").value = state.done;
  at("count").textContent = `${state.done} of ${state.total}${state.item ? minutes(state.seconds_left) : ""}`;
  at("judging").hidden = !state.item;
  at("results").hidden = Boolean(state.item);
  if (state.item) showItem();
  else showResults();
}

function showItem() {
  const pairs = count() === 2;
  at("task").textContent = pairs ? "Which answer is better?" : "Order the answers, best first";
  const { prompt, answers } = state.item;
  const question = prompt.at(-1).content;
  at("earlier").replaceChildren(
    ...prompt.slice(0, -1).map((one) => make("li", {}, make("b", {}, `${one.role}: `), one.content)));
  at("prompt").textContent = question;
  at("prompt").classList.toggle("long", question.length > 200);
  at("answers").replaceChildren(...answers.map((text, position) => {
    const tier = tiers.findIndex((one) => one.includes(position));
    const card = make("button", { type: "button", className: "answer", onclick: () => pick(position) },
      make("kbd", {}, String(position + 1)), make("span", {}, text));
    card.setAttribute("aria-pressed", String(tier >= 0));
    if (tier >= 0) {
      const rank = RANKS[tiers.slice(0, tier).flat().length];
      card.classList.add("picked");
      card.append(make("span", { className: "rank" }, tiers[tier].length > 1 ? `${rank}, equal` : rank));
    }
    return card;
  }));
  const key = (name, text, onclick, disabled = false) =>
    make("button", { type: "button", onclick, disabled }, make("kbd", {}, name), text);
  at("keys").replaceChildren(
    key("T", tiers.length ? "Rest equal" : "Equal", equal),
    ...(pairs ? [] : [key("=", joining ? "Same rank …" : "Same rank", join, !tiers.length || joining)]),
    key("S", "Skip", () => judge([])),
    key("U", "Undo", undo, !tiers.length && !state.done));
  at("hint").textContent = (pairs
    ? "Press 1 or 2 for the better answer."
    : `Press 1 to ${count()}, the best first; with = the next one shares the rank of the one before.`)
    + " Which model an answer is from is hidden until the end. Everything is saved at once.";
  announce(tiers.length ? `${picked().length} of ${count()} ranked` : `${state.done + 1} of ${state.total}: ${question}`);
}

function join() {
  joining = tiers.length > 0;
  show();
}

const percent = (rate) => `${(100 * rate).toFixed(1)}\u00a0%`;

function bar({ mean, low, high }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${percent(low)} to ${percent(high)}`);
  const draw = (tag, values) => {
    const one = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(values)) one.setAttribute(name, value);
    svg.append(one);
  };
  draw("line", { class: "half", x1: 50, x2: 50, y1: 0, y2: 10 });
  draw("line", { class: "interval", x1: 100 * low, x2: 100 * high, y1: 5, y2: 5 });
  draw("rect", { class: "rate", x: 100 * mean - 1, y: 2, width: 2, height: 6, rx: 1 });
  return svg;
}

function showResults() {
  const { models, agreement, judged, skipped, raters } = state.results;
  at("task").textContent = "All judged";
  const compared = models.filter((one) => one.comparisons);
  const rows = compared.map((one) => make("tr", {},
    make("td", {}, one.name), make("td", {}, percent(one.rate.mean)),
    make("td", {}, `${(100 * one.rate.low).toFixed(1)} to ${percent(one.rate.high)}`), make("td", { className: "bar" }, bar(one.rate)),
    make("td", {}, percent(one.length_controlled)), make("td", {}, String(one.comparisons))));
  const head = ["Model", "Wins", "95 % interval", "", "At equal length", "Pairs"];
  const table = make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((text, index) => make("th", { className: index === 3 ? "bar" : "" }, text)))),
    make("tbody", {}, ...rows));
  const said = agreement === null
    ? "No other rater has judged the same answers: name one with --rater to see how far you agree."
    : `${agreement.raters} raters agree on ${agreement.percent.toFixed(0)} % of ${agreement.compared} pairs`
      + (agreement.kappa === null ? "." : ` (${agreement.raters === 2 ? "Cohen" : "Fleiss"}'s kappa ${agreement.kappa.toFixed(2)}; 0 is chance, 1 is full agreement).`);
  at("results").replaceChildren(
    make("h2", {}, "All judged. Thank you!"),
    make("p", { className: "soft" },
      `${judged} judgements by ${raters.length === 1 ? raters[0] : `${raters.length} raters`}, ${skipped} skipped. ${said}`),
    ...(compared.length ? [table] : [make("p", {}, `All answers are from ${models[0].name}.`)]),
    make("p", {}, "They train a reward model when the blueprint names them:"),
    make("pre", {}, `reward:\n  data: ${state.file}`));
  at("keys").replaceChildren(
    make("button", { type: "button", onclick: undo, disabled: !state.done }, make("kbd", {}, "U"), "Undo the last"));
  at("hint").textContent = "";
  announce("All judged");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state || busy) return;
  const key = event.key.toLowerCase();
  if (key === "u" || key === "backspace") undo();
  else if (!state.item) return;
  else if (/^[1-9]$/.test(key)) pick(Number(key) - 1);
  else if (key === "t") equal();
  else if (key === "=" && count() > 2) join();
  else if (key === "s") judge([]);
  else return;
  event.preventDefault();
});
let hidden = 0;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hidden = performance.now();
  else began += performance.now() - hidden;
});
ask("api/state");
