// The open conversation: asks the server, and keeps what comes back.
import * as api from "./api.js";
import { announce, at } from "./dom.js";
import * as store from "./store.js";
import { TurnView } from "./turn.js";

const VARIED = 0.8; // least temperature of a second answer: at 0 it would be the first one again
const TOP = 5; // alternatives shown with each token

const { settings } = store;
let views = [];
let running = null; // {abort, done} while answers stream
export let conversation = store.newConversation();

/** Called with the error where a request failed for want of a connection or a key. */
let onFailure = () => {};
export const whenFailed = (listener) => { onFailure = listener; };

/** Called when the list of conversations is to be shown again. */
let onChange = () => {};
export const whenChanged = (listener) => { onChange = listener; };

/** Show a conversation; an answer that still streams into another one ends there. */
export async function show(next) {
  await stop();
  conversation = next;
  store.setCurrent(next);
  views = conversation.turns.map(view);
  at("turns").replaceChildren(...views.map((one) => one.element));
  shape();
  onChange();
  window.scrollTo(0, document.documentElement.scrollHeight);
}

export async function stop() {
  running?.abort.abort();
  await running?.done;
}

export const busy = () => running !== null;

/** Ask; false where that isn't possible now. */
export function ask(text) {
  if (running) return false;
  const turn = { question: text, answers: [] };
  conversation.turns.push(turn);
  views.push(view(turn));
  at("turns").append(views.at(-1).element);
  begin(turn, settings.temperature);
  window.scrollTo(0, document.documentElement.scrollHeight);
  return true;
}

/** Whether the server has the documents that its models were trained on. */
let documents = false;
export function setDocuments(there) {
  documents = there;
  for (const column of views.flatMap((one) => one.columns)) column.show();
}

function view(turn) {
  return new TurnView(turn, {
    where: (answer) => api.where(answer.model, turn.question, answer.text),
    hasWhere: () => documents,
    edit: (text) => again(turn, text, settings.temperature),
    regenerate: (retry) => again(turn, turn.question, retry ? settings.temperature : varied(), !retry),
  });
}

const varied = () => Math.max(settings.temperature, VARIED);

/** Answer a turn once more, possibly with another question; what came after it is removed. */
function again(turn, question, temperature, noted = false) {
  if (running) return;
  const index = conversation.turns.indexOf(turn);
  conversation.turns.length = index + 1;
  for (const later of views.splice(index + 1)) later.element.remove();
  turn.question = question;
  views[index].showQuestion();
  const sampled = noted && settings.temperature < VARIED;
  begin(turn, temperature, sampled ? [`Another answer, sampled at temperature ${VARIED}.`] : []);
}

function begin(turn, temperature, notes = []) {
  const names = [settings.model, settings.second].filter(Boolean);
  turn.answers = names.map((model) => ({ model, text: "", notes: [...notes], failed: false, speed: "" }));
  running = { abort: new AbortController() };
  running.done = answerAll(turn, temperature, running.abort.signal);
}

async function answerAll(turn, temperature, signal) {
  const shown = views[conversation.turns.indexOf(turn)];
  shown.showAnswers();
  shape();
  keep();
  announce("Answering");
  await Promise.all(shown.columns.map((column, index) => answer(turn, column, index, temperature, signal)));
  running = null;
  shape();
  keep();
}

async function answer(turn, column, index, temperature, signal) {
  const kept = column.answer;
  column.busy(true);
  try {
    const messages = await fitted(turn, kept, index, signal);
    const body = { model: kept.model, messages, temperature, max_completion_tokens: settings.length };
    if (settings.logprobs) Object.assign(body, { logprobs: true, top_logprobs: TOP });
    const clock = { asked: performance.now() };
    for await (const chunk of api.stream(body, signal)) {
      take(kept, chunk, clock);
      column.update();
    }
  } catch (error) {
    fail(kept, error);
  }
  column.busy(false);
}

/** The messages of a request: the conversation as far as the model's context holds it with an answer. */
async function fitted(turn, kept, index, signal) {
  const before = conversation.turns.slice(0, conversation.turns.indexOf(turn));
  const said = before.map(({ question, answers }) => [question, (answers[index] ?? answers[0])?.text]);
  const exchanges = said.filter(([, text]) => text); // failed ones have no answer to send
  const messages = () => [
    ...(settings.system ? [{ role: "system", content: settings.system }] : []),
    ...exchanges.flatMap(([question, text]) => [
      { role: "user", content: question },
      { role: "assistant", content: text },
    ]),
    { role: "user", content: turn.question },
  ];
  const all = exchanges.length;
  while (exchanges.length) {
    const { count, max_model_len: context } = await api.tokenize(kept.model, messages(), signal);
    if (count + Math.min(settings.length, context / 4) <= context) break;
    exchanges.shift();
  }
  const dropped = all - exchanges.length;
  if (dropped) kept.notes.push(`The context is full: the model no longer sees the first ${turns(dropped)}.`);
  return messages();
}

const turns = (count) => (count === 1 ? "turn" : `${count} turns`);

function take(kept, chunk, clock) {
  const [choice] = chunk.choices;
  if (choice?.delta.content) {
    clock.first ??= performance.now();
    kept.text += choice.delta.content;
  }
  if (choice?.logprobs) (kept.tokens ??= []).push(...choice.logprobs.content);
  const { taught, nearest } = chunk.groundup ?? { taught: true };
  if (!taught) {
    const near = nearest.length ? ` Nearest: ${nearest.join(", ")}.` : "";
    kept.notes.push(`Not something this model was taught: expect a guess.${near}`);
  }
  if (choice?.finish_reason === "length") kept.notes.push("Cut off at the maximum length.");
  if (chunk.usage) kept.speed = speed(chunk.usage.completion_tokens, clock);
}

function speed(tokens, { asked, first = asked }) {
  const seconds = (performance.now() - first) / 1000;
  const perSecond = (tokens - 1) / seconds;
  const rate = seconds > 0.01 ? `, ${perSecond.toFixed(perSecond < 100 ? 1 : 0)} tokens/s` : "";
  return `${tokens} token${tokens === 1 ? "" : "s"}${rate}, first after ${((first - asked) / 1000).toFixed(2)} s`;
}

function fail(kept, error) {
  if (error.name === "AbortError") {
    kept.notes.push("Stopped.");
    return;
  }
  kept.failed = true;
  const unreachable = error instanceof TypeError; // fetch's error where there is no connection
  kept.notes.push(unreachable ? "The server can't be reached." : `That did not work: ${error.message}.`);
  onFailure(error);
}

/** Make the page fit its state: empty or not, answering or not, one model or two. */
function shape() {
  const { body } = document;
  body.classList.toggle("under-way", conversation.turns.length > 0);
  body.classList.toggle("answering", running !== null);
  body.classList.toggle("comparing", conversation.turns.some((turn) => turn.answers.length > 1));
  at("stop").hidden = running === null;
  at("send").hidden = running !== null;
  for (const one of document.querySelectorAll("button.act")) one.disabled = running !== null;
}

/** Write the conversation to the browser's storage. */
export function keep() {
  if (!conversation.turns.length) return;
  conversation.updated = Date.now();
  at("unkept").hidden = store.save(conversation);
  onChange();
}
