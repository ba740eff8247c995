// The chat page: connects the elements of index.html with the conversation, the list of them and the settings.
import * as api from "./api.js";
import * as chat from "./chat.js";
import { announce, at, button, grow, make, writing } from "./dom.js";
import { begin, closeHistory, showHistory, toggleHistory } from "./history.js";
import * as store from "./store.js";

const RETRY_SECONDS = 2;
const { settings } = store;
let connected = false; // the models are known

async function connect() {
  try {
    const { data, groundup } = await api.models();
    const names = data.map((one) => one.id);
    fill(at("model"), names);
    fill(at("second"), ["", ...names]);
    at("models").hidden = names.length < 2;
    document.title = names[0];
    at("introduction").textContent = groundup.introduction;
    const samples = groundup.samples.map((text) => make("li", {}, button(text, () => chat.ask(text), "")));
    at("samples").replaceChildren(...samples);
    chat.setDocuments(groundup.documents);
    connected = true;
    at("send").disabled = false;
    lock(false);
    at("question").focus();
  } catch (error) {
    failed(error);
  }
}

/** Offer these models; the chosen one stays, if it is among them. */
function fill(select, names) {
  select.replaceChildren(...names.map((name) => make("option", { value: name }, name || "compare with …")));
  select.value = names.includes(settings[select.id]) ? settings[select.id] : names[0];
  settings[select.id] = select.value;
}

function failed(error) {
  if (error.status === 401) {
    at("introduction").textContent = api.hasKey()
      ? "That is not the key. Please try again."
      : "This model needs a key. Please enter it below.";
    lock(true);
  } else if (error instanceof TypeError) {
    waitForServer();
  } else if (!connected) {
    at("introduction").textContent = `That did not work: ${error.message}.`;
  }
}

/** Until the server is back, with a note on the page. */
async function waitForServer() {
  if (!at("gone").hidden) return;
  at("gone").hidden = false;
  while (!(await api.healthy())) await new Promise((done) => setTimeout(done, RETRY_SECONDS * 1000));
  at("gone").hidden = true;
  announce("The server is back.");
  await connect();
}

function lock(locked) {
  at("unlock").hidden = !locked;
  at("composer").hidden = locked;
  if (locked) at("key").focus();
}

function bindSettings() {
  const show = () => { at("temperature-value").textContent = Number(settings.temperature).toFixed(1); };
  const fields = { temperature: "valueAsNumber", length: "valueAsNumber", system: "value", logprobs: "checked" };
  for (const [id, field] of Object.entries(fields)) {
    at(id)[field] = settings[id];
    at(id).addEventListener("input", () => {
      if (!at(id).checkValidity()) return;
      settings[id] = at(id)[field];
      store.saveSettings();
      show();
    });
  }
  for (const id of ["model", "second"]) {
    at(id).addEventListener("change", () => {
      settings[id] = at(id).value;
      store.saveSettings();
    });
  }
  show();
  at("configure").addEventListener("click", () => at("settings").showModal());
  at("close").addEventListener("click", () => at("settings").close());
  at("settings").addEventListener("click", (event) => { if (event.target === at("settings")) at("settings").close(); });
}

writing(at("composer"), at("question"), (text) => {
  if (!connected || !chat.ask(text)) return; // the text stays in the field
  at("question").value = "";
  grow(at("question"));
}, chat.stop);
at("stop").addEventListener("click", () => {
  chat.stop();
  at("question").focus();
});
at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setKey(at("key").value);
  connected = false;
  connect();
});
at("new").addEventListener("click", begin);
at("menu").addEventListener("click", () => toggleHistory());
at("shade").addEventListener("click", closeHistory);
at("side").addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.target.matches("input")) return;
  closeHistory();
  at("menu").focus();
});
window.addEventListener("pagehide", () => { if (chat.busy()) chat.keep(); });
window.addEventListener("storage", (event) => { if (store.isConversation(event.key)) showHistory(); });
chat.whenFailed(failed);
chat.whenChanged(showHistory);
bindSettings();
chat.show(store.open());
connect();
