// The chat page. All text from the server and from the person is set as textContent, never as HTML.
"use strict";

const at = (id) => document.getElementById(id);
const DIFFERENT = 0.8; // temperature of a second answer: at 0 it would be the first one again
let key = sessionStorage.getItem("groundup-key") ?? "";
let model = null; // its name, once known
let reading = null; // the AbortController of the answer under way

function make(tag, className, text, onclick) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  if (tag === "button") element.type = "button";
  if (onclick) element.addEventListener("click", onclick);
  return element;
}

async function call(path, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  lock(response.status === 401);
  const { error } = await response.json().catch(() => ({}));
  throw new Error(error?.message ?? `the server answered with status ${response.status}`);
}

/** The data of each server-sent event. A read may end inside a line, even inside a character. */
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (let done = false; !done; ) {
    const read = await reader.read();
    done = read.done;
    const lines = (rest + decoder.decode(read.value, { stream: !done })).split(/\r\n|\n|\r/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

async function answer(turn, temperature) {
  if (reading) return;
  reading = new AbortController();
  Object.assign(turn.note, { textContent: "", className: "note" });
  turn.answer.textContent = "";
  show(turn, true);
  try {
    const body = { model, stream: true, temperature, messages: [{ role: "user", content: turn.text }] };
    const options = { method: "POST", body: JSON.stringify(body), signal: reading.signal };
    let complete = false;
    for await (const data of events((await call("v1/chat/completions", options)).body)) {
      if (data === "[DONE]") { complete = true; break; }
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      take(turn, chunk, temperature);
    }
    if (!complete) throw new Error("the answer broke off");
  } catch (error) {
    if (error.name === "AbortError") remark(turn, "Stopped.");
    else fail(turn.note, error);
  } finally {
    reading = null;
    show(turn, false);
    at("status").textContent = `${turn.answer.textContent} ${turn.note.textContent}`; // once, not piece by piece
  }
}

function take(turn, chunk, temperature) {
  const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 80;
  const [choice] = chunk.choices;
  turn.answer.append(choice?.delta.content ?? ""); // strings are appended as text nodes
  const { taught, nearest } = chunk.groundup ?? { taught: true };
  if (!taught) {
    const near = nearest.length ? ` Nearest: ${nearest.join(", ")}.` : "";
    remark(turn, `Not something this model was taught: expect a guess.${near}`);
  }
  if (chunk.groundup && temperature) remark(turn, "Another answer, drawn at random.");
  if (choice?.finish_reason === "length") remark(turn, "Cut off at its longest length.");
  if (atEnd) window.scrollTo(0, document.body.scrollHeight);
}

const remark = (turn, text) => turn.note.append(turn.note.textContent ? ` ${text}` : text);

function fail(note, error) {
  const unreachable = error instanceof TypeError; // fetch's word for no connection
  note.className = "note failed";
  note.textContent = unreachable ? "The server can't be reached." : `That did not work: ${error.message}.`;
}

/** Switch the page between answering and waiting for a question. */
function show(turn, busy) {
  turn.answer.setAttribute("aria-busy", busy);
  at("stop").hidden = !busy;
  at("send").hidden = busy;
  if (busy) at("status").textContent = "Answering";
  for (const button of document.querySelectorAll(".tools button, #clear")) button.disabled = busy;
}

function ask(text) {
  if (reading || !model || !text.trim()) return;
  const turn = { text: text.trim(), element: make("article", "turn", "") };
  turn.question = make("div", "question", "");
  turn.answer = make("div", "answer", "");
  turn.note = make("p", "note", "");
  const tools = make("div", "tools", "");
  tools.append(
    make("button", "quiet", "Edit", () => edit(turn)),
    make("button", "quiet", "Regenerate", () => answer(turn, DIFFERENT)),
    make("button", "quiet", "Copy", () => navigator.clipboard.writeText(turn.answer.textContent)),
  );
  if (!navigator.clipboard) tools.lastChild.remove(); // absent where the page came over plain HTTP from elsewhere
  turn.element.append(turn.question, turn.answer, turn.note, tools);
  put(turn);
  at("turns").append(turn.element);
  document.body.classList.add("under-way");
  at("clear").hidden = false;
  window.scrollTo(0, document.body.scrollHeight);
  answer(turn, 0);
}

function put(turn) {
  turn.element.setAttribute("aria-label", turn.text);
  turn.question.replaceChildren(make("p", "", turn.text));
}

function edit(turn) {
  const form = make("form", "", "");
  const field = make("div", "field", "");
  const area = make("textarea", "", "");
  Object.assign(area, { value: turn.text, rows: 1 });
  area.setAttribute("aria-label", "Edit your question");
  const close = () => { put(turn); at("question").focus(); };
  const submit = make("button", "", "Ask");
  submit.type = "submit";
  field.append(area, make("button", "quiet", "Cancel", close), submit);
  form.append(field);
  turn.question.replaceChildren(form);
  writing(form, area, (text) => { turn.text = text; close(); answer(turn, 0); }, close);
  grow(area);
  area.focus();
}

/** Enter submits, Shift + Enter breaks the line, Escape closes; not while an input method composes. */
function writing(form, area, submit, close) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (area.value.trim() && !reading) submit(area.value.trim());
  });
  area.addEventListener("input", () => grow(area));
  area.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") close();
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    form.requestSubmit();
  });
}

function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

function lock(locked) {
  at("unlock").hidden = !locked;
  at("composer").hidden = locked;
  if (locked) at("key").focus();
}

async function open() {
  try {
    const { data, groundup } = await (await call("v1/models")).json();
    model = data[0].id;
    at("name").textContent = document.title = model;
    at("introduction").textContent = groundup.introduction;
    at("samples").replaceChildren(...groundup.samples.map((text) => {
      const item = make("li", "", "");
      item.append(make("button", "", text, () => ask(text)));
      return item;
    }));
    lock(false);
    at("question").focus();
  } catch {
    at("introduction").textContent = at("composer").hidden
      ? (key ? "That is not the key. Please try again." : "This model needs a key. Please enter it below.")
      : "The server can't be reached. Reload the page to try again.";
  }
}

writing(at("composer"), at("question"), (text) => {
  at("question").value = "";
  grow(at("question"));
  ask(text);
}, () => reading?.abort());
at("stop").addEventListener("click", () => reading?.abort());
at("clear").addEventListener("click", () => {
  at("turns").replaceChildren();
  document.body.classList.remove("under-way");
  at("clear").hidden = true;
  at("question").focus();
});
at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("groundup-key", (key = at("key").value));
  open();
});
open();
