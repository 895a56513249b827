"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const report = JSON.parse($("report-data").textContent);
  const errors = [];
  const note = (text) => {
    errors.push(String(text));
    root.dataset.errors = errors.join("\n");
  };
  window.addEventListener("error", (event) => note(event.message));
  window.addEventListener("unhandledrejection", (event) => note(event.reason));

  /* ---- small helpers ------------------------------------------------------------------------------------ */

  function make(tag, text, attributes) {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    return element;
  }

  function short(value) {
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
    const small = value !== 0 && Math.abs(value) < 1e-4;
    const text = small ? value.toExponential(3) : value.toPrecision(4);
    return text.includes("e") ? text.replace(/\.?0+e/, "e").replace("e+", "e") : String(Number(text));
  }

  async function copy(text, button) {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", text, { readonly: "", style: "position:fixed;opacity:0" });
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const before = button.dataset.label || button.textContent;
    button.dataset.label = before;
    button.textContent = done ? "Copied" : "Could not copy";
    setTimeout(() => (button.textContent = before), 1400);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(button.dataset.copy, button);
  });

  /* ---- pictures ----------------------------------------------------------------------------------------- */

  // on a dark background each colour gets a lighter one of the same hue
  const DARK = {
    "#0072b2": "#58aee8", "#56b4e9": "#7cc6f0", "#009e73": "#2fc79b", "#e69f00": "#f0b440", "#d55e00": "#f0803c",
    "#cc79a7": "#e29ac3", "#1f2328": "#d5dce4", "#8b949e": "#7d8590", "#d0d7de": "#333b45", "#ffffff": "#14171c",
    "#00224e": "#ffe945", "#2a3f6d": "#dcc95c", "#575d6d": "#b5aa6f", "#7d7c78": "#8f8a77", "#a69d75": "#6d7080",
    "#d3c164": "#55628a", "rgba(255,255,255,0.78)": "rgba(20,23,28,0.78)", "rgba(0,114,178,0.18)": "rgba(88,174,232,0.22)",
  };
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const printing = window.matchMedia("print");
  const dark = () => scheme.matches && !printing.matches;

  function dressed(value) {
    if (Array.isArray(value)) return value.length && typeof value[0] === "object" ? value.map(dressed) : value;
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, dressed(inner)]));
    }
    return typeof value === "string" ? DARK[value.toLowerCase()] || value : value;
  }

  const OPTIONS = {
    responsive: true,
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };
  const small = (id) => ["plot-slice", "plot-schedule", "plot-small"].some((name) => id.startsWith(name)); // several in a row
  const figures = new Map((report.figures || []).map((figure) => [figure.id, figure]));
  const drawn = new Set();

  function picture(figure) {
    const copied = { data: structuredClone(figure.data), layout: structuredClone(figure.layout) };
    const { data, layout } = dark() ? dressed(copied) : copied;
    const options = { ...OPTIONS, displayModeBar: layout.dragmode === false || small(figure.id) ? false : "hover" };
    options.toImageButtonOptions = { format: "svg", filename: figure.id };
    return [data, layout, options];
  }

  async function draw(id) {
    const figure = figures.get(id);
    await Plotly.newPlot($(id), ...picture(figure));
    drawn.add(id);
    if (id === "plot-parallel") brushing(figure);
  }

  async function redress() {
    for (const id of drawn) {
      const figure = figures.get(id);
      await Plotly.react($(id), ...picture(figure));
      if (figure.refresh) figure.refresh();
    }
  }

  scheme.addEventListener("change", redress);
  // on paper: one width for all, light colours whatever the screen has
  const width = (id) => (small(id) ? 335 : 690);
  window.addEventListener("beforeprint", () => {
    for (const id of drawn) {
      if (scheme.matches) {
        const figure = figures.get(id);
        Plotly.react($(id), structuredClone(figure.data), { ...structuredClone(figure.layout), width: width(id) });
        if (figure.refresh) figure.refresh(false);
      } else Plotly.relayout($(id), { width: width(id) });
    }
  });
  window.addEventListener("afterprint", async () => {
    if (scheme.matches) await redress();
    for (const id of drawn) {
      await Plotly.relayout($(id), { width: null, autosize: true });
      Plotly.Plots.resize($(id));
    }
  });

  // the history's axes: each button swaps in the coordinates of all traces
  function flip(button, redraw = true) {
    const group = button.parentElement;
    const { plot, axis } = group.dataset;
    const figure = figures.get(plot);
    const chosen = figure.switches[axis][button.dataset.key];
    for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
    figure.data.forEach((trace, i) => (trace[axis] = chosen[axis][i]));
    const target = figure.layout[`${axis}axis`];
    target.title.text = chosen.title;
    if (axis === "y") {
      target.type = chosen.type;
      delete target.range;
      target.autorange = !chosen.range;
      if (chosen.range) target.range = chosen.range.slice();
      const shown = chosen.title === figure.switches.y.linear.title;
      for (const part of [...(figure.layout.shapes || []), ...(figure.layout.annotations || [])]) {
        part.visible = shown;
        // an annotation on a logarithmic axis is placed by its logarithm
        if ("text" in part) {
          part.at = part.at === undefined ? part.y : part.at;
          part.y = chosen.type === "log" && part.at > 0 ? Math.log10(part.at) : part.at;
        }
      }
    } else delete target.range;
    target.uirevision = button.dataset.key; // a zoom belongs to its scale
    if (redraw) Plotly.react($(plot), ...picture(figure));
  }

  // one listener for all: a page that is followed gets new buttons
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".switch button");
    if (button) flip(button);
  });

  /* ---- methods: one legend for all pictures --------------------------------------------------------------- */

  const legend = document.querySelectorAll(".methods button");
  const brought = new Set(); // methods that are brought out; none: all alike

  function shade(figure) {
    let any = false;
    for (const trace of figure.data) {
      if (!trace.meta || !trace.meta.method) continue;
      any = true;
      const mine = brought.has(trace.meta.method);
      if (trace.meta.band) trace.visible = brought.size ? mine : trace.meta.shown;
      else trace.opacity = !brought.size || mine ? 1 : 0.13;
    }
    return any;
  }

  async function bring(button) {
    const name = button.dataset.method;
    if (!brought.delete(name)) brought.add(name);
    for (const one of legend) one.setAttribute("aria-pressed", String(brought.has(one.dataset.method)));
    for (const [id, figure] of figures) {
      if (!shade(figure) || !drawn.has(id)) continue;
      await Plotly.react($(id), ...picture(figure));
      await new Promise((next) => setTimeout(next, 0));
    }
  }
  for (const button of legend) button.addEventListener("click", () => bring(button).catch(note));

  /* ---- parallel coordinates ------------------------------------------------------------------------------ */

  const ranges = new Map(); // axis -> [low, high] in [0, 1]; below 0 lies "not active"

  function brushing(figure) {
    const place = $("plot-parallel");
    const { axes, lines } = report.parallel;
    const slider = $("top");
    const LANE = -0.12;
    const layout = figure.layout;
    const base = layout.shapes.slice();
    const shades = figure.data.length - 1;
    let drag = null;

    const inside = (line) => {
      for (const [i, [low, high]] of ranges) {
        const at = line.at[i] === null ? LANE : line.at[i];
        if (at < low || at > high) return false;
      }
      return true;
    };
    const across = axes.map((_, i) => i);
    const joined = (group) => {
      const x = [], y = [];
      for (const line of group) {
        x.push(...across, null);
        for (const at of line.at) y.push(at === null ? LANE : at);
        y.push(null);
      }
      return [x, y];
    };

    function refresh(night = dark()) {
      const top = Number(slider.value);
      const chosen = [], others = [];
      lines.forEach((line, i) => (i < top && inside(line) ? chosen : others).push([line, i]));
      const groups = [others.map(([line]) => line)];
      for (let shade = shades - 1; shade >= 0; shade--) {
        groups.push(chosen.filter(([, i]) => Math.floor((i * shades) / top) === shade).map(([line]) => line));
      }
      const coordinates = groups.map(joined);
      figure.data.forEach((trace, i) => ([trace.x, trace.y] = coordinates[i]));
      layout.shapes = base.concat(
        [...ranges].map(([i, [low, high]]) => ({
          type: "rect", x0: i - 0.07, x1: i + 0.07, y0: low, y1: high, line: { width: 1, color: "#D55E00" },
          fillcolor: "#D55E00", opacity: 0.35,
        })),
      );
      const made = { data: structuredClone(figure.data), layout: structuredClone(layout) };
      const { data, layout: shown } = night ? dressed(made) : made;
      Plotly.update(place, { x: data.map((t) => t.x), y: data.map((t) => t.y) }, { shapes: shown.shapes });
      $("top-now").textContent = `${top} of ${lines.length}`;
      slider.setAttribute("aria-valuetext", `best ${top} of ${lines.length}`);
      const words = [...ranges].map(([i, range]) => `${axes[i].name}: ${spoken(axes[i], range)}`);
      $("brush-now").textContent = words.length ? `${chosen.length} trials with ${words.join("; ")}` : "";
      $("brush-clear").hidden = $("brush-table").hidden = !words.length;
      figure.chosen = chosen.map(([line]) => line.trial);
    }
    figure.refresh = refresh;

    function spoken(axis, [low, high]) {
      if (high < 0) return "not active";
      if (axis.kind === "category") {
        const named = axis.ticks.filter(([at]) => at >= low && at <= high).map(([, label]) => label);
        return named.join(", ") || "none";
      }
      const value = (p) => {
        const q = Math.min(1, Math.max(0, p));
        return axis.log ? axis.low * (axis.high / axis.low) ** q : axis.low + q * (axis.high - axis.low);
      };
      return `${short(value(low))} to ${short(value(high))}`;
    }

    // axes are invisible and margins fixed, so pixels turn into coordinates by the layout alone
    function spot(event) {
      const box = place.getBoundingClientRect();
      const { l, r, t, b } = layout.margin;
      const [x0, x1] = layout.xaxis.range, [y0, y1] = layout.yaxis.range;
      const x = x0 + ((event.clientX - box.left - l) / (box.width - l - r)) * (x1 - x0);
      const y = y1 - ((event.clientY - box.top - t) / (layout.height - t - b)) * (y1 - y0);
      const near = Math.round(x);
      const pixels = (Math.abs(x - near) / (x1 - x0)) * (box.width - l - r);
      return { axis: near >= 0 && near < axes.length && pixels < 22 ? near : null, y };
    }
    place.addEventListener("pointerdown", (event) => {
      const { axis, y } = spot(event);
      if (axis === null || event.button) return;
      drag = { axis, from: y, moved: false };
      place.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    let waiting = false;
    place.addEventListener("pointermove", (event) => {
      const { axis, y } = spot(event);
      place.style.cursor = axis === null && !drag ? "" : "ns-resize";
      if (!drag || (!drag.moved && Math.abs(y - drag.from) < 0.015)) return;
      drag.moved = true;
      const ends = [drag.from, y].sort((a, b) => a - b);
      ranges.set(drag.axis, [Math.max(-0.16, ends[0]), Math.min(1.02, ends[1])]);
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; refresh(); });
    });
    place.addEventListener("pointerup", () => {
      if (!drag) return;
      if (!drag.moved) ranges.delete(drag.axis);
      drag = null;
      refresh();
    });
    slider.addEventListener("input", () => refresh());
    $("brush-clear").addEventListener("click", () => { ranges.clear(); refresh(); });
    $("brush-table").addEventListener("click", () => {
      if (table) table.only(figure.chosen);
      $("trials").scrollIntoView();
      $("filter").focus({ preventScroll: true });
    });
    refresh();
  }

  /* ---- table of trials ----------------------------------------------------------------------------------- */

  const table = (() => {
    if (!report.trials) return null;
    let { columns, rows, details } = report.trials;
    const head = $("trials-table").tHead, body = $("trials-table").tBodies[0];
    const find = (name) => columns.findIndex((column) => column.name === name && (name !== "rank" || column.group === "trial"));
    let statusAt = find("status"), rankAt = find("rank");
    const numbers = () => columns.map((_, i) => rows.every((row) => row[i] === null || typeof row[i] === "number" || /^-?(nan|inf)$/.test(row[i])));
    let numeric = numbers();
    const hidden = new Set();
    let order = { column: rankAt < 0 ? 0 : rankAt, up: true };
    let page = 0, kept = null, found = [];

    const state = (i) => (order.column === i ? (order.up ? "ascending" : "descending") : null);
    function headings() {
      const row = make("tr");
      columns.forEach((column, i) => {
        const cell = make("th", null, { scope: "col" });
        if (state(i)) cell.setAttribute("aria-sort", state(i));
        if (numeric[i]) cell.className = "number";
        const button = make("button", column.label, { type: "button", title: `sort by ${column.label}` });
        button.addEventListener("click", () => {
          order = { column: i, up: order.column === i ? !order.up : true };
          page = 0;
          show();
          head.rows[0].cells[i + (i > 0 ? 1 : 0)].firstChild.focus();
        });
        cell.append(button);
        row.append(cell);
        if (i === 0) row.append(make("th", "Configuration", { scope: "col", class: "act count" }));
      });
      head.replaceChildren(row);
    }

    // numbers before texts before nothing, whichever way the numbers run
    const kind = (value) => (typeof value === "number" ? 0 : value === null || value === undefined ? 2 : 1);
    function compare(a, b) {
      const x = rows[a][order.column], y = rows[b][order.column];
      if (kind(x) !== kind(y)) return kind(x) - kind(y);
      const less = kind(x) === 0 ? x - y : kind(x) === 1 ? String(x).localeCompare(String(y)) : 0;
      return (order.up ? less : -less) || a - b;
    }

    const COMPARISON = /^(.+?)(<=|>=|!=|≤|≥|=|<|>|:)(.*)$/;
    function test(token) {
      const parts = token.match(COMPARISON);
      const wanted = parts && parts[1].toLowerCase();
      const at = parts ? columns.findIndex((c) => c.name.toLowerCase() === wanted || c.label.toLowerCase() === wanted) : -1;
      if (at < 0) {
        const text = token.toLowerCase();
        return (row, i) => row.some((cell) => cell !== null && String(cell).toLowerCase().includes(text)) ||
          JSON.stringify(details[i]).toLowerCase().includes(text);
      }
      const sign = { "≤": "<=", "≥": ">=", ":": "=" }[parts[2]] || parts[2];
      const text = parts[3].toLowerCase(), number = Number(parts[3]);
      if (text === "") return () => true;
      return (row) => {
        const cell = row[at];
        if (cell === null) return sign === "!=";
        const [a, b] = typeof cell === "number" && !Number.isNaN(number) ? [cell, number] : [String(cell).toLowerCase(), text];
        if (sign === "=" ) return a === b;
        if (sign === "!=") return a !== b;
        if (typeof a !== "number") return false;
        return sign === "<" ? a < b : sign === "<=" ? a <= b : sign === ">" ? a > b : a >= b;
      };
    }

    function select() {
      const tests = $("filter").value.split(/\s+/).filter(Boolean).map(test);
      found = [];
      rows.forEach((row, i) => {
        if (hidden.has(row[statusAt]) || (kept && !kept.has(row[0]))) return;
        if (tests.every((one) => one(row, i))) found.push(i);
      });
      found.sort(compare);
    }

    function more(i) {
      const row = make("tr", null, { class: "more" });
      const cell = make("td", null, { colspan: String(columns.length + 1) });
      const { error, note: remark, tags, config, ...rest } = details[i];
      if (error) cell.append(make("pre", error, { class: "error" }));
      if (remark) cell.append(make("p", remark));
      if (tags) cell.append(make("p", Object.entries(tags).map(([key, value]) => `${key}: ${value}`).join(" · ")));
      cell.append(make("pre", JSON.stringify(config, null, 1)));
      const others = Object.entries(rest).map(([key, value]) => `${key}: ${typeof value === "object" ? JSON.stringify(value) : value}`);
      if (others.length) cell.append(make("p", others.join(" · "), { class: "count" }));
      row.append(cell);
      return row;
    }

    function line(i) {
      const row = make("tr");
      if (rankAt >= 0 && rows[i][rankAt] === 1) row.className = "first";
      rows[i].forEach((value, j) => {
        const cell = j === 0 ? make("th", value, { scope: "row" }) : make("td");
        if (j > 0) {
          if (numeric[j]) cell.className = "number";
          else cell.className = "cell";
          if (j === statusAt) cell.append(make("span", "", { class: `dot ${value}` }), value);
          else if (value !== null) {
            cell.textContent = short(value);
            if (cell.textContent !== String(value) || String(value).length > 24) cell.title = String(value);
          }
        } else if (numeric[0]) cell.className = "number";
        row.append(cell);
        if (j === 0) row.append(actions(i, row));
      });
      return row;
    }

    function actions(i, row) {
      const cell = make("td", null, { class: "act" });
      const copier = make("button", "Copy", { type: "button", "aria-label": `Copy configuration of trial ${rows[i][0]}` });
      copier.dataset.copy = JSON.stringify(details[i].config);
      const opener = make("button", details[i].error ? "Error" : "More", { type: "button", "aria-expanded": "false" });
      opener.setAttribute("aria-label", `Details of trial ${rows[i][0]}`);
      opener.addEventListener("click", () => {
        const open = opener.getAttribute("aria-expanded") === "true";
        opener.setAttribute("aria-expanded", String(!open));
        if (open) row.nextElementSibling.remove();
        else row.after(more(i));
      });
      cell.append(copier, opener);
      return cell;
    }

    function show() {
      select();
      headings();
      const size = Number($("page-size").value) || Math.max(1, found.length);
      const pages = Math.max(1, Math.ceil(found.length / size));
      page = Math.min(page, pages - 1);
      body.replaceChildren(...found.slice(page * size, (page + 1) * size).map(line));
      $("row-count").textContent = `${found.length} of ${rows.length} trials${kept ? " (from the lines chosen)" : ""}`;
      $("page-now").textContent = `page ${page + 1} of ${pages}`;
      $("page-back").disabled = page === 0;
      $("page-on").disabled = page >= pages - 1;
    }

    function chips() {
      const statuses = [...new Set(rows.map((row) => row[statusAt]))];
      const held = document.activeElement && document.activeElement.dataset.status;
      const made = (statuses.length > 1 ? statuses : []).map((status) => {
        const chip = make("button", null, { type: "button", "aria-pressed": String(!hidden.has(status)), "data-status": status });
        const count = rows.filter((row) => row[statusAt] === status).length;
        chip.append(make("span", "", { class: `dot ${status}` }), `${status} ${count}`);
        chip.addEventListener("click", () => {
          if (!hidden.delete(status)) hidden.add(status);
          chip.setAttribute("aria-pressed", String(!hidden.has(status)));
          page = 0;
          show();
        });
        return chip;
      });
      $("status-chips").replaceChildren(...made);
      if (held) made.filter((chip) => chip.dataset.status === held).forEach((chip) => chip.focus());
    }
    chips();
    $("filter").addEventListener("input", () => { kept = null; page = 0; show(); });
    $("page-size").addEventListener("change", () => { page = 0; show(); });
    $("page-back").addEventListener("click", () => { page--; show(); });
    $("page-on").addEventListener("click", () => { page++; show(); });
    show();
    return {
      // new results: filter, order and page stay
      fresh(trials) {
        const named = columns[order.column].name;
        ({ columns, rows, details } = trials);
        [statusAt, rankAt, numeric] = [find("status"), find("rank"), numbers()];
        order.column = Math.max(0, columns.findIndex((column) => column.name === named));
        chips();
        show();
      },
      only(trials) {
        kept = new Set(trials);
        $("filter").value = "";
        page = 0;
        show();
      },
    };
  })();

  /* ---- draw one picture at a time, so that the page stays alive ------------------------------------------- */

  // the plotting library stands below this script, so that words and table are there before it is read
  async function drawAll() {
    const seen = (id) => $(id).getBoundingClientRect().top < innerHeight;
    for (const id of figures.keys()) {
      if (!root.dataset.first && !seen(id)) root.dataset.first = String(Math.round(performance.now()));
      await new Promise((next) => setTimeout(next, 0));
      await draw(id);
    }
    root.dataset.first ||= String(Math.round(performance.now()));
    root.dataset.ready = String(drawn.size);
    root.dataset.milliseconds = String(Math.round(performance.now()));
  }
  document.addEventListener("DOMContentLoaded", () => drawAll().catch(note));
  // for a script that follows the study (luthier serve)
  window.luthierPage = { report, figures, drawn, picture, draw, flip, table, note };
})();
