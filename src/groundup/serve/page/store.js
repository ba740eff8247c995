// What the browser keeps: conversations (one entry each, so that two tabs don't overwrite one another) and settings.
//
// A conversation: {id, title, updated, turns: [{question, answers: [{model, text, notes, failed, speed}]}]}. A turn has
// one answer, or two where models are compared; answer i continues answers i of the turns before it.
const PREFIX = "groundup-chat:";
const SETTINGS = "groundup-settings";
const CURRENT = "groundup-current"; // in the tab's own storage: each tab reloads its own conversation
const TITLE_LENGTH = 60;

export const settings = { model: "", second: "", temperature: 0, length: 256, system: "", logprobs: false };
Object.assign(settings, read(SETTINGS));

export const saveSettings = () => put(SETTINGS, settings);

/** All conversations, the newest first. */
export function conversations() {
  const keys = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
  const found = keys.map(read).filter((one) => one?.turns);
  return found.sort((a, b) => b.updated - a.updated);
}

export function newConversation() {
  return { id: `${Date.now()}-${Math.random().toString(36).slice(2)}`, title: "", updated: 0, turns: [] };
}

/** The conversation with this id, by default the one that this tab showed last; a new one where there is none. */
export function open(id = sessionStorage.getItem(CURRENT)) {
  const found = read(PREFIX + id);
  return found?.turns ? found : newConversation();
}

/** After a reload, this tab shows this conversation again. */
export const setCurrent = ({ id }) => sessionStorage.setItem(CURRENT, id);

/** False where the browser has no room or keeps nothing. */
export function save(conversation) {
  conversation.title ||= conversation.turns[0]?.question.slice(0, TITLE_LENGTH) ?? "";
  return put(PREFIX + conversation.id, conversation);
}

/** As `save`, for a conversation that need not be the open one. */
export const rename = (conversation, title) => put(PREFIX + conversation.id, Object.assign(conversation, { title }));

export const remove = (id) => localStorage.removeItem(PREFIX + id);

export const isConversation = (name) => name === null || name.startsWith(PREFIX);

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null; // not written by this page
  }
}

function put(name, value) {
  try {
    // An answer's token probabilities live only as long as the page: they are many times its text.
    localStorage.setItem(name, JSON.stringify(value, (field, one) => (field === "tokens" ? undefined : one)));
    return true;
  } catch {
    return false;
  }
}

/** A conversation as Markdown, for a file. */
export function markdown({ title, turns }) {
  const parts = [`# ${title}`];
  for (const { question, answers } of turns) {
    parts.push(`## ${question.replaceAll("\n", "\n> ")}`);
    for (const { model, text } of answers) parts.push(`*${model}:*`, text);
  }
  return parts.join("\n\n") + "\n";
}
