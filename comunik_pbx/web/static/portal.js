// What pages do besides working without any script.
"use strict";

// The first field that is wrong gets the focus, so that its reason is read out.
document.querySelector("[aria-invalid=true]")?.focus();

// Changes that were typed but not saved are not lost by accident.
for (const form of document.querySelectorAll("form[data-unsaved]")) {
  let changed = false;
  form.addEventListener("input", () => { changed = true; });
  form.addEventListener("submit", () => { changed = false; });
  window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
}

// A photo is shown as soon as it is chosen.
for (const input of document.querySelectorAll("input[data-preview]")) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) document.getElementById(input.dataset.preview).src = URL.createObjectURL(file);
  });
}

// The keypad: keys, redial, and how the call goes.
const dialled = document.getElementById("dialled");
if (dialled) {
  const keys = document.querySelector(".keys");
  const redial = document.getElementById("redial");
  const erase = document.getElementById("erase");
  const remembered = "comunik-last-number";
  keys.hidden = erase.hidden = false;
  redial.hidden = !localStorage.getItem(remembered);
  const press = (key) => { dialled.setRangeText(key, dialled.selectionStart, dialled.selectionEnd, "end"); };
  keys.addEventListener("click", (event) => {
    const key = event.target.closest("[data-key]");
    if (key) press(key.dataset.key);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target === dialled || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^[0-9*#+]$/.test(event.key)) press(event.key);
    else if (event.key === "Backspace") dialled.value = dialled.value.slice(0, -1);
  });
  document.addEventListener("paste", (event) => {
    if (event.target === dialled) return;
    dialled.value = event.clipboardData.getData("text").replace(/[^0-9*#+ ().-]/g, "").trim().slice(0, 40);
  });
  erase.addEventListener("click", () => { dialled.value = ""; dialled.focus(); });
  redial.addEventListener("click", () => { dialled.value = localStorage.getItem(remembered); dialled.focus(); });
  document.getElementById("dial").addEventListener("submit", () => localStorage.setItem(remembered, dialled.value));
  const progress = document.getElementById("progress");
  if (!progress.hidden) {
    const events = new EventSource("/keypad/progress");
    events.addEventListener("state", (event) => {
      const [state, words] = event.data.split("|");
      document.getElementById("state").textContent = words;
      if (state === "ended" || state === "unanswered") {
        events.close();
        document.getElementById("hang-up").hidden = true;
        history.replaceState(null, "", "/keypad");
      }
    });
    events.addEventListener("error", () => events.close());
    document.getElementById("hang-up").addEventListener("submit", (event) => {
      event.preventDefault();
      fetch("/keypad/hang-up", { method: "POST", body: new FormData(event.target), headers: { accept: "application/json" } });
    });
  }
}
