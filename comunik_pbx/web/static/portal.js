// What pages do besides working without any script.
"use strict";

const all = (selector) => document.querySelectorAll(selector);

// The first field that is wrong gets the focus, so that its reason is read out.
document.querySelector("[aria-invalid=true]")?.focus();

// Changes that were typed but not saved are not lost by accident, nor those that were refused.
for (const form of all("form[data-unsaved]")) {
  const changes = (are) => {
    form.dataset.unsaved = are ? "already" : "";
    const note = form.querySelector(".unsaved");
    if (note) note.hidden = !are;
  };
  changes(form.dataset.unsaved === "already");
  let typed = false;
  form.addEventListener("input", () => { typed = true; changes(true); });
  form.addEventListener("submit", () => changes(false));
  // The call that proves a refused number takes along what was refused.
  form.parentElement.querySelector(".prove")?.addEventListener("submit", () => { if (!typed) changes(false); });
  window.addEventListener("beforeunload", (event) => { if (form.dataset.unsaved) event.preventDefault(); });
}

// A photo is shown as soon as it is chosen.
for (const input of all("input[data-preview]")) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file?.type === "image/png") document.getElementById(input.dataset.preview).src = URL.createObjectURL(file);
  });
}

// One's own number, at a click.
for (const button of all("[data-fill]")) {
  const field = document.getElementById(button.dataset.fill);
  button.hidden = false;
  button.addEventListener("click", () => {
    field.value = button.dataset.with;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });
}

// Lists that change by themselves; nothing moves under one's fingers.
const fresh = all("[data-fresh]");
async function refresh() {
  if (document.hidden || document.querySelector("[data-fresh]:focus-within, #ended details[open]")) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of fresh) {
    const now = page.getElementById(part.id);
    if (now && now.innerHTML !== part.innerHTML) part.replaceChildren(...now.childNodes);
  }
}
if (document.querySelector("[data-fresh=always]")) setInterval(refresh, 3000);

// The keypad: keys, redial, and how the call goes.
const dialled = document.getElementById("dialled");
if (dialled) {
  const keys = document.querySelector(".keys");
  const redial = document.getElementById("redial");
  const erase = document.getElementById("erase");
  const dial = document.getElementById("dial");
  const remembered = `comunik-last-number-${dial.dataset.account}`; // several people may share a browser
  dialled.setSelectionRange(dialled.value.length, dialled.value.length); // keys add to a number that is there
  keys.hidden = erase.hidden = false;
  redial.hidden = !localStorage.getItem(remembered);
  const press = (key) => { dialled.setRangeText(key, dialled.selectionStart, dialled.selectionEnd, "end"); };
  let held = 0; // 0 held for half a second is +
  keys.addEventListener("pointerdown", (event) => {
    if (event.target.closest("[data-key='0']")) held = setTimeout(() => { held = -1; press("+"); }, 500);
  });
  keys.addEventListener("click", (event) => {
    const key = event.target.closest("[data-key]");
    if (!key) return;
    if (held !== -1) press(key.dataset.key);
    clearTimeout(held);
    held = 0;
    if (event.detail) key.blur(); // a mouse or a finger: Enter calls, it does not press the key again
  });
  document.addEventListener("keydown", (event) => {
    if (event.target === dialled || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^[0-9*#+]$/.test(event.key)) press(event.key);
    else if (event.key === "Backspace") dialled.value = dialled.value.slice(0, -1);
    else if (event.key === "Enter" && event.target === document.body) dial.requestSubmit();
  });
  document.addEventListener("paste", (event) => {
    if (event.target === dialled) return;
    dialled.value = event.clipboardData.getData("text").replace(/[^0-9*#+ ().-]/g, "").trim().slice(0, 40);
  });
  erase.addEventListener("click", () => { dialled.value = ""; dialled.focus(); });
  redial.addEventListener("click", () => { dialled.value = localStorage.getItem(remembered); dialled.focus(); });
  dial.addEventListener("submit", () => { if (dialled.value) localStorage.setItem(remembered, dialled.value); });
  const progress = document.getElementById("progress");
  if (!progress.hidden) {
    const state = document.getElementById("state");
    const hangUp = document.getElementById("hang-up");
    const events = new EventSource("/keypad/progress");
    events.addEventListener("state", (event) => {
      const [now, words] = event.data.split("|");
      state.textContent = words;
      progress.dataset.state = now;
      if (now === "ended" || now === "unanswered") {
        events.close();
        hangUp.hidden = true;
        history.replaceState(null, "", "/keypad");
        refresh();
      }
    });
    events.addEventListener("error", () => { events.close(); state.textContent = progress.dataset.lost; });
    hangUp.addEventListener("submit", (event) => {
      event.preventDefault();
      fetch("/keypad/hang-up", { method: "POST", body: new FormData(hangUp), headers: { accept: "application/json" } });
    });
  }
}
