"use strict";
// keeps the list of studies as it is on the server
(() => {
  const $ = (id) => document.getElementById(id);
  const EVERY = 3000, LONGEST = 30000;
  let paused = false, failures = 0, timer = 0;

  function say(text, state) {
    $("live-said").textContent = text;
    $("live-dot").className = state ? `dot ${state}` : "dot";
  }

  async function ask() {
    const answer = await fetch(`/changes?have=${document.body.dataset.mark}`, { credentials: "same-origin", cache: "no-store" });
    if (answer.status === 204) return;
    if (!answer.ok) throw new Error(answer.status === 401 ? "the token is no longer good" : `the server answers ${answer.status}`);
    const { html, mark } = await answer.json();
    const held = document.activeElement && document.activeElement.getAttribute("href");
    const holder = document.createElement("tbody");
    holder.innerHTML = html; // the server escapes every word, and the policy runs nothing that stands in a page
    $("studies").replaceChildren(...holder.childNodes);
    if (held) for (const link of $("studies").querySelectorAll("a")) if (link.getAttribute("href") === held) link.focus();
    document.body.dataset.mark = mark;
    say(`live · ${new Date().toLocaleTimeString()}`);
  }

  async function round() {
    clearTimeout(timer);
    let next = EVERY;
    if (!paused && !document.hidden) {
      try {
        await ask();
        if (failures) say("live");
        failures = 0;
      } catch (error) {
        failures++;
        next = Math.min(LONGEST, EVERY * 2 ** failures);
        say(`not live: ${error instanceof TypeError ? "the server does not answer" : error.message}`, "lost");
      }
    }
    timer = setTimeout(round, next);
  }

  $("live-pause").addEventListener("click", () => {
    paused = !paused;
    $("live-pause").setAttribute("aria-pressed", String(paused));
    $("live-pause").textContent = paused ? "Go on" : "Pause updates";
    say(paused ? "paused" : "live", paused ? "paused" : "");
    if (!paused) round();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) round(); });
  timer = setTimeout(round, 500);
})();
