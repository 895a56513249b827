"use strict";
// follows a study: asks what has changed, and puts it in without disturbing what the reader does
(() => {
  const $ = (id) => document.getElementById(id);
  const page = window.luthierPage;
  const root = document.documentElement;
  const marks = page.report.marks; // part -> what we show of it
  const waiting = new Map(); // parts that came while the reader was at work in them
  const here = location.pathname.replace(/\/$/, "");
  const EVERY = 2000, LONGEST = 30000;
  let paused = false, failures = 0, timer = 0, touched = false;

  function say(text, state) {
    $("live-said").textContent = text;
    $("live-dot").className = state ? `dot ${state}` : "dot";
  }
  const clock = () => new Date().toLocaleTimeString();

  async function ask() {
    const have = Object.entries(marks).map(([id, mark]) => `${id}:${mark}`).join(",");
    const started = performance.now();
    const answer = await fetch(`${here}/changes?have=${encodeURIComponent(have)}`, { credentials: "same-origin", cache: "no-store" });
    if (answer.status === 401) throw new Error("the token is no longer good: use the printed address again");
    if (answer.status === 404) throw new Error("the study is gone");
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const found = answer.status === 204 ? null : await answer.json();
    root.dataset.bytes = String(found ? JSON.stringify(found).length : 0);
    if (found) await take(found);
    return { took: performance.now() - started, more: Boolean(found && found.more) };
  }

  async function take({ parts, order }) {
    for (const part of parts) {
      if (busy(part.id)) waiting.set(part.id, part);
      else await put(part);
      marks[part.id] = part.mark; // what waits is ours already
    }
    for (const id of Object.keys(marks)) if (!order.includes(id)) remove(id);
    arrange(order);
    if (parts.length) {
      root.dataset.updates = String(Number(root.dataset.updates || 0) + 1);
      say(`live · ${clock()}`);
    }
  }

  // the reader types, has the focus, holds the mouse down or marks text there
  function busy(id) {
    const place = $(id);
    if (!place || id === "trials") return false;
    const chosen = getSelection();
    return touched || place.contains(document.activeElement) ||
      (chosen && !chosen.isCollapsed && place.contains(chosen.anchorNode));
  }
  document.addEventListener("pointerdown", () => (touched = true), true);
  for (const kind of ["pointerup", "pointercancel", "blur"]) {
    addEventListener(kind, () => { touched = false; setTimeout(release, 0); }, true);
  }
  document.addEventListener("focusout", () => setTimeout(release, 0));
  async function release() {
    for (const [id, part] of [...waiting]) {
      if (busy(id)) continue;
      waiting.delete(id);
      await put(part);
    }
  }

  function built(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html; // the server escapes every word, and the policy runs nothing that stands in a page
    return holder.content;
  }

  async function put(part) {
    if (part.id === "head" || part.id === "contents") {
      $(part.id).replaceChildren(built(part.html));
      return;
    }
    const old = $(part.id);
    if (part.id === "trials" && old && page.table) {
      page.report.trials = part.trials || patched(page.report.trials, part.changed);
      page.table.fresh(page.report.trials);
      return;
    }
    if (part.id === "trials" || !old) { // the table begins with the page
      if (part.id === "trials") { location.reload(); return; }
    }
    if (part.parallel) page.report.parallel = part.parallel;
    await section(part, old);
  }

  // the table as it is now, from the one we have and the rows that differ
  function patched(table, changed) {
    const made = { columns: table.columns };
    for (const name of ["rows", "details"]) {
      const list = table[name].slice(0, changed[name].length);
      for (const [place, value] of Object.entries(changed[name].at)) list[Number(place)] = value;
      made[name] = list;
    }
    return made;
  }

  async function section(part, old) {
    const next = built(part.html).firstElementChild;
    const pressed = old ? [...old.querySelectorAll('.switch button[aria-pressed="true"]')].map(where) : [];
    const top = old && old.querySelector("#top");
    const fresh = new Map(part.figures.map((figure) => [figure.id, figure]));
    const gone = old ? [...old.querySelectorAll(".plot")] : [];
    for (const plot of gone) {
      // a picture that stays keeps its element, and with it zoom and hover
      const place = fresh.has(plot.id) && plot.id !== "plot-parallel" ? next.querySelector(`[id="${plot.id}"]`) : null;
      if (place) {
        plot.setAttribute("aria-label", place.getAttribute("aria-label") || "");
        place.replaceWith(plot);
      } else {
        Plotly.purge(plot);
        page.figures.delete(plot.id);
        page.drawn.delete(plot.id);
      }
    }
    if (top && next.querySelector("#top")) keep(top, next.querySelector("#top"));
    if (old) old.replaceWith(next);
    else $("parts").append(next);
    for (const [id, figure] of fresh) page.figures.set(id, zoomable(figure));
    for (const { plot, axis, key } of pressed) {
      const button = [...next.querySelectorAll(".switch button")].find((one) => {
        const group = one.parentElement.dataset;
        return group.plot === plot && group.axis === axis && one.dataset.key === key;
      });
      if (button && button.getAttribute("aria-pressed") !== "true") page.flip(button, false);
    }
    for (const [id, figure] of fresh) {
      if (page.drawn.has(id)) await Plotly.react($(id), ...page.picture(figure));
      else await page.draw(id);
    }
  }

  // a picture that is drawn anew keeps the reader's zoom
  function zoomable(figure) {
    figure.layout.uirevision = "kept";
    return figure;
  }
  page.figures.forEach(zoomable);

  const where = (button) => ({ ...button.parentElement.dataset, key: button.dataset.key });

  // the slider of the best: at its place, or still at the end
  function keep(before, after) {
    const moved = before.value !== before.defaultValue;
    if (moved) after.value = String(Math.min(Number(before.value), Number(after.max)));
  }

  function remove(id) {
    delete marks[id];
    waiting.delete(id);
    const place = $(id);
    if (!place || id === "head" || id === "contents") return;
    for (const plot of place.querySelectorAll(".plot")) {
      Plotly.purge(plot);
      page.figures.delete(plot.id);
      page.drawn.delete(plot.id);
    }
    place.remove();
  }

  function arrange(order) {
    const main = $("parts");
    let before = null;
    for (const id of order.slice().reverse()) {
      const place = $(id);
      if (!place || place.parentElement !== main) continue;
      if (place.nextElementSibling !== before) main.insertBefore(place, before);
      before = place;
    }
    if (before) for (const note of main.querySelectorAll(":scope > .alert")) note.remove();
  }

  async function round() {
    clearTimeout(timer);
    let next = EVERY;
    if (!paused && !document.hidden) {
      try {
        const { took, more } = await ask();
        await release();
        if (failures) say(`live · ${clock()}`);
        failures = 0;
        next = more ? EVERY / 2 : Math.max(EVERY, 10 * took); // a page that is heavy to make is asked for more rarely
      } catch (error) {
        failures++;
        next = Math.min(LONGEST, EVERY * 2 ** failures);
        say(`not live: ${error instanceof TypeError ? "the server does not answer" : error.message}`, "lost");
      }
    }
    timer = setTimeout(round, Math.min(LONGEST, next));
  }

  $("live-pause").addEventListener("click", () => {
    paused = !paused;
    $("live-pause").setAttribute("aria-pressed", String(paused));
    $("live-pause").textContent = paused ? "Go on" : "Pause updates";
    say(paused ? `paused · ${clock()}` : "live", paused ? "paused" : "");
    if (!paused) round();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) round(); });

  const form = $("note-form");
  if (form) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const trial = $("note-trial").value;
      const answer = await fetch(`${here}/trials/${encodeURIComponent(trial)}/note`, {
        method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ note: $("note-text").value }),
      });
      $("note-said").textContent = answer.ok ? `written on trial ${trial}` : (await answer.text()).trim();
      if (answer.ok) { $("note-text").value = ""; round(); }
    });
  }

  // after the first drawing, so that two hands do not draw one picture
  const begin = () => (root.dataset.ready ? (timer = setTimeout(round, 100)) : setTimeout(begin, 50));
  begin();
})();
