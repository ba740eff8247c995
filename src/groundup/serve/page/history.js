// The list of conversations: open, rename, export, delete.
import * as chat from "./chat.js";
import { announce, at, button, make } from "./dom.js";
import * as store from "./store.js";

export function showHistory() {
  const found = store.conversations();
  at("conversations").replaceChildren(...found.map(entry));
  at("none").hidden = found.length > 0;
}

function entry(conversation) {
  const isOpen = conversation.id === chat.conversation.id;
  const item = make("li", { className: isOpen ? "open" : "" });
  const title = button(conversation.title, () => select(conversation.id), "title");
  if (isOpen) title.setAttribute("aria-current", "true");
  const actions = {
    Rename: () => rename(item, conversation),
    Export: () => download(conversation),
    Delete: () => remove(conversation),
  };
  const tools = Object.entries(actions).map(([name, action]) => {
    const tool = button(name, action);
    tool.setAttribute("aria-label", `${name} "${conversation.title}"`);
    return tool;
  });
  item.append(title, make("div", { className: "tools" }, ...tools));
  return item;
}

async function select(id) {
  closeHistory();
  await chat.show(store.open(id));
  at("question").focus();
}

export async function begin() {
  closeHistory();
  await chat.show(store.newConversation());
  at("question").focus();
}

function rename(item, conversation) {
  const input = make("input", { value: conversation.title, maxLength: 200, required: true });
  input.setAttribute("aria-label", "Title of the conversation");
  const form = make("form", {}, input);
  item.replaceChildren(form);
  input.select();
  let over = false; // removing the field blurs it
  const finish = (title) => {
    if (over) return;
    over = true;
    if (title) {
      const target = conversation.id === chat.conversation.id ? chat.conversation : conversation;
      at("unkept").hidden = store.rename(target, title);
    }
    showHistory();
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); finish(input.value.trim()); });
  input.addEventListener("keydown", (event) => { if (event.key === "Escape") finish(""); });
  input.addEventListener("blur", () => finish(input.value.trim()));
}

function download(conversation) {
  const address = URL.createObjectURL(new Blob([store.markdown(conversation)], { type: "text/markdown" }));
  const name = conversation.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "conversation";
  make("a", { href: address, download: `${name}.md` }).click();
  setTimeout(() => URL.revokeObjectURL(address));
}

async function remove(conversation) {
  if (!confirm(`Delete "${conversation.title}"? It can't be restored.`)) return;
  if (conversation.id === chat.conversation.id) await chat.show(store.newConversation());
  store.remove(conversation.id);
  showHistory();
  announce("Deleted");
  at("new").focus();
}

/** On narrow screens the list lies over the page. */
export function toggleHistory(open = at("menu").getAttribute("aria-expanded") !== "true") {
  at("menu").setAttribute("aria-expanded", open);
  document.body.classList.toggle("history", open);
  if (open) at("new").focus();
}

export const closeHistory = () => toggleHistory(false);
