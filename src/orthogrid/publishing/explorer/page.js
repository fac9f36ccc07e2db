"use strict";
// One run is {header, columns}: columns by name, as typed arrays over the page's data. The state is what the link holds.
const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int8: Int8Array, float32: Float32Array };
// As in the paper: apart for every colour vision, and apart by shape as well.
const OUTCOME_LOOKS = {
  recovered: ["#0072b2", "circle"], trapped: ["#d55e00", "x"], unidentified: ["#009e73", "square"],
  "decided wrong": ["#f3c19d", "triangle-down"], unfinished: ["#8c8c8c", "triangle-up"], diverged: ["#000000", "diamond"], missing: ["#cc79a7", "cross-thin-open"],
};
const PALETTE = ["#332288", "#d55e00", "#009e73", "#aa3377", "#c08a00", "#56b4e9", "#661100", "#777777", "#117733", "#882255", "#88ccee", "#999933", "#000000"];
// A block that the run lacks is left out of its view.
const PRESETS = {
  "phase diagram": { x: "trap_ratio", y: "capture_ratio", colour: "outcome", block: "", penalty: "" },
  "where runs end": { x: "trap_ratio", y: "position", colour: "outcome", block: "existence", penalty: "" },
  "samples": { x: "samples", y: "distance", colour: "outcome", block: "identifiability", penalty: "" },
  "weight": { x: "reg", y: "orthogonality_fro", colour: "penalty", block: "penalties", penalty: "" },
  "rate and floor": { x: "lr", y: "mean_s", colour: "penalty", block: "rates", penalty: "" },
};
const START = { ...PRESETS["phase diagram"], laws: "1", key: "" };
const MANY = 3000; // dots from which they are drawn by the graphics card, where there is one
const byId = (id) => document.getElementById(id);
const runs = [];
let usual = { ...START }; // what a link leaves out
let state = usual;

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function readRun(page) {
  const header = JSON.parse(page.getElementById("header").textContent);
  const buffer = await inflate(page.getElementById("data").textContent);
  const columns = {};
  for (const [name, [type, start, length]] of Object.entries(header.columns)) columns[name] = new TYPES[type](buffer, start, length);
  return { header, columns };
}

function keyOf(run, i) {
  return Array.from(run.columns.key.subarray(6 * i, 6 * i + 6), (b) => b.toString(16).padStart(2, "0")).join("");
}

function axisOf(run, name) { return run.header.axes.find((axis) => axis.name === name); }

function measureOf(run, name) { return run.header.measures.find((measure) => measure.name === name); }

function valueOf(run, name, i) {
  const axis = axisOf(run, name);
  if (axis) return axis.values[run.columns[`axis ${name}`][i]];
  if (name === "outcome") return run.header.outcomes[run.columns.outcome[i]];
  return measureOf(run, name) ? run.columns[`measure ${name}`][i] : NaN;
}

function labelOf(run, name) { return measureOf(run, name)?.label ?? name; }

function isLog(run, name) {
  const axis = axisOf(run, name);
  if (!axis) return measureOf(run, name)?.log ?? false;
  const known = axis.values;
  return axis.numeric && known[0] > 0 && known[known.length - 1] > 20 * known[0];
}

// The cells that the choices leave, those without a value for what is shown aside.
function visible(run) {
  const picked = state.block ? run.columns[`block ${state.block}`] ?? [] : Array.from({ length: run.header.cells }, (_, i) => i);
  const shown = [];
  for (const i of picked) {
    if (state.penalty && valueOf(run, "penalty", i) !== state.penalty) continue;
    const at = [valueOf(run, state.x, i), valueOf(run, state.y, i)];
    if (at.every((v, k) => typeof v !== "number" || (Number.isFinite(v) && (v > 0 || !isLog(run, k ? state.y : state.x))))) shown.push(i);
  }
  return shown;
}

// Cells that share a place are moved a little, the same way each time, so that they can be told apart.
function placed(run, name, cells, salt) {
  const axis = axisOf(run, name);
  if (!axis) return cells.map((i) => valueOf(run, name, i));
  const log = isLog(run, name);
  const span = axis.values.length > 1 && axis.numeric ? (axis.values[axis.values.length - 1] - axis.values[0]) / 150 : 0;
  return cells.map((i) => {
    const value = valueOf(run, name, i);
    const shift = (((i * 2654435761 + salt * 40503) >>> 8) % 1000) / 1000 - 0.5;
    if (!axis.numeric) return axis.values.indexOf(value) + 0.5 * shift;
    return log ? value * Math.exp(0.12 * shift) : value + span * shift;
  });
}

function scale(run, name) {
  const axis = axisOf(run, name);
  const common = { title: { text: labelOf(run, name) }, automargin: true, gridcolor: "#e5e5e5", zeroline: false };
  if (axis && !axis.numeric) return { ...common, type: "linear", tickvals: axis.values.map((_, i) => i), ticktext: axis.values.map(String) };
  return isLog(run, name) ? { ...common, type: "log", exponentformat: "power", minor: { ticks: "outside" } } : common;
}

let graphics;
function hasGraphics() {
  graphics ??= Boolean(document.createElement("canvas").getContext("webgl"));
  return graphics;
}

function dots(run) {
  const cells = visible(run);
  const type = cells.length > MANY && hasGraphics() ? "scattergl" : "scatter";
  const x = placed(run, state.x, cells, 1);
  const y = placed(run, state.y, cells, 2);
  const size = cells.length > 2000 ? 5 : 7;
  const measure = measureOf(run, state.colour);
  const traces = [];
  if (measure) {
    const values = cells.map((i) => valueOf(run, state.colour, i));
    const color = measure.log ? values.map((v) => (v > 0 ? Math.log10(v) : null)) : values;
    traces.push({ type, mode: "markers", name: measure.label, x, y, customdata: cells,
      marker: { size, color, colorscale: "Cividis", showscale: true, colorbar: { title: { text: (measure.log ? "log₁₀ of " : "") + measure.label, side: "right" }, thickness: 12 } } });
  } else {
    const groups = new Map();
    cells.forEach((i, at) => {
      const value = String(valueOf(run, state.colour, i));
      if (!groups.has(value)) groups.set(value, []);
      groups.get(value).push(at);
    });
    const names = state.colour === "outcome" ? run.header.outcomes.map(String) : axisOf(run, state.colour).values.map(String);
    names.forEach((name, k) => {
      const at = groups.get(name);
      if (!at) return;
      const [color, symbol] = (state.colour === "outcome" && OUTCOME_LOOKS[name]) || [PALETTE[k % PALETTE.length], k % 13];
      traces.push({ type, mode: "markers", name: `${name} (${at.length})`, x: at.map((j) => x[j]), y: at.map((j) => y[j]),
        customdata: at.map((j) => cells[j]), marker: { size, color, symbol, opacity: 0.75 } });
    });
  }
  return { cells, traces };
}

function laws(run, cells) {
  const measure = measureOf(run, state.y);
  const shapes = [];
  const traces = [];
  if (!state.laws) return { shapes, traces };
  for (const [name, side] of [[state.x, "x"], [state.y, "y"]]) {
    if (name !== "trap_ratio" && name !== "capture_ratio") continue;
    const line = { type: "line", layer: "above", line: { color: "#1a1a1a", width: 1.5, dash: "dash" }, [`${side}0`]: 1, [`${side}1`]: 1 };
    shapes.push(side === "x" ? { ...line, yref: "paper", y0: 0, y1: 1 } : { ...line, xref: "paper", x0: 0, x1: 1 });
  }
  if (measure?.law) {
    const seen = new Map();
    for (const i of cells) {
      const law = run.columns[`law ${state.y}`][i];
      if (Number.isFinite(law) && (!isLog(run, state.y) || law > 0) && (!measure.of || valueOf(run, "outcome", i) === measure.of)) {
        const at = valueOf(run, state.x, i);
        seen.set(`${at} ${law.toPrecision(3)}`, [axisOf(run, state.x)?.numeric === false ? axisOf(run, state.x).values.indexOf(at) : at, law]);
      }
    }
    const points = [...seen.values()];
    if (points.length) traces.push({ type: "scatter", mode: "markers", name: measure.of ? `law, of ${measure.of} runs` : "law", hoverinfo: "skip",
      x: points.map((p) => p[0]), y: points.map((p) => p[1]), marker: { symbol: "line-ew-open", size: 14, color: "#1a1a1a", line: { width: 1.5 } } });
  }
  return { shapes, traces };
}

function draw(number) {
  const run = runs[number];
  const { cells, traces } = dots(run);
  const law = laws(run, cells);
  const chosen = chosenIn(run);
  if (chosen !== null && cells.includes(chosen)) traces.push({ type: "scatter", mode: "markers", name: "chosen", hoverinfo: "skip",
    x: placed(run, state.x, [chosen], 1), y: placed(run, state.y, [chosen], 2), marker: { symbol: "circle-open", size: 18, color: "#1a1a1a", line: { width: 3 } } });
  for (const trace of traces) if (trace.customdata) {
    trace.text = trace.customdata.map((i) => `${keyOf(run, i)}<br>${valueOf(run, "penalty", i)}, reg ${valueOf(run, "reg", i)}, n ${valueOf(run, "dimension", i)}, k ${valueOf(run, "samples", i)}`);
    trace.hovertemplate = "%{text}<extra></extra>";
  }
  const title = runs.length > 1 ? { text: run.header.run, font: { size: 14 } } : undefined;
  const layout = { title, xaxis: scale(run, state.x), yaxis: scale(run, state.y), shapes: law.shapes, margin: { l: 60, r: 10, t: title ? 35 : 10, b: 50 },
    font: { family: "system-ui, sans-serif", size: 12 }, legend: { orientation: "h", y: -0.2 }, hovermode: "closest", uirevision: `${state.x} ${state.y}` };
  if (!measureOf(run, state.colour)) layout.showlegend = true; // also where all dots are of one kind
  const plot = byId(`plot${number}`);
  Plotly.react(plot, [...traces, ...law.traces], layout, { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] });
  if (!plot.dataset.heard) {
    plot.dataset.heard = "yes";
    plot.on("plotly_click", (event) => {
      const i = event.points[0].customdata;
      if (i !== undefined) choose(keyOf(run, i));
    });
  }
  return cells.length;
}

function chosenIn(run) {
  if (!state.key) return null;
  run.places ??= new Map(Array.from({ length: run.header.cells }, (_, i) => [keyOf(run, i), i]));
  return run.places.get(state.key) ?? null;
}

function short(value) {
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

function fill(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value, unlike]) => {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    if (unlike) dd.className = "unlike";
    return [dt, dd];
  }));
}

// What stands in a config: text with brackets needs no quotes, numbers and true are plain.
function inYaml(value) { return typeof value === "string" && !/^[\w().=]+$/.test(value) ? JSON.stringify(value) : String(value); }

function neighbours(run, i) {
  const near = (axis, value) => {
    if (!axis.numeric) return axis.values.length > 1 ? axis.values : [value];
    const other = [value / 2, value, value * 2].map((v) => (axis.whole ? Math.round(v) : Number(v.toPrecision(4))));
    return [...new Set(other.filter((v) => axis.minimum === null || v >= axis.minimum))];
  };
  const shown = [state.x, state.y].filter((name) => axisOf(run, name));
  const varied = new Set(shown.length ? shown : ["reg"]);
  const lines = [`- name: around_${keyOf(run, i)}`, `  question: What changes beside run ${keyOf(run, i)}?`, "  axes:"];
  for (const axis of run.header.axes) {
    const value = valueOf(run, axis.name, i);
    if (varied.has(axis.name)) lines.push(`    ${axis.name}: [${near(axis, value).map(inYaml).join(", ")}]`);
    else if (value !== axis.default) lines.push(`    ${axis.name}: ${inYaml(value)}`);
  }
  return lines.join("\n");
}

function detail() {
  const run = runs.find((each) => chosenIn(each) !== null);
  byId("detail").hidden = !run;
  if (!run) return;
  const i = chosenIn(run);
  byId("detail").querySelector("h2").textContent = `Run ${state.key} of ${run.header.run}: ${valueOf(run, "outcome", i)}`;
  fill(byId("settings"), run.header.axes.map((axis) => [axis.name, short(valueOf(run, axis.name, i)), valueOf(run, axis.name, i) !== axis.default]));
  const blocks = run.header.blocks.filter((block) => run.columns[`block ${block.name}`].includes(i)).map((block) => block.name);
  fill(byId("results"), [["outcome", valueOf(run, "outcome", i)], ["in", blocks.join(", ")],
    ...run.header.measures.map((m) => [m.label, short(valueOf(run, m.name, i))]).filter(([, value]) => value !== "NaN")]);
  byId("again").textContent = `python -m orthogrid train --config ${run.header.config} --key ${state.key} --again`;
  byId("yaml").textContent = neighbours(run, i);
  drawTrace(run, i);
}

// A bfloat16, the upper half of a float32.
function whole(shorts) { return Array.from(new Float32Array(Uint32Array.from(shorts, (s) => s << 16).buffer)); }

function drawTrace(run, i) {
  const [a, b] = [run.columns["trace begins"][i], run.columns["trace begins"][i + 1]];
  const steps = Array.from(run.columns["trace step"].subarray(a, b));
  const looks = [["#332288", "solid"], ["#d55e00", "dash"], ["#009e73", "dot"]];
  const traces = run.header.traced.map((one, k) => ({ type: "scatter", mode: "lines", name: one.label, x: steps.map((s) => s + 1),
    y: whole(run.columns[`trace ${one.name}`].subarray(a, b)), line: { color: looks[k][0], dash: looks[k][1] } }));
  const sign = run.columns["trace det_sign"].subarray(a, b);
  const changed = steps.filter((_, k) => k > 0 && sign[k] !== sign[k - 1]);
  const shapes = changed.map((s) => ({ type: "line", x0: s + 1, x1: s + 1, yref: "paper", y0: 0, y1: 1, line: { color: "#777777", width: 1 } }));
  const title = changed.length ? { text: "grey: the determinant changed its sign", font: { size: 11 } } : undefined;
  Plotly.react(byId("trace"), traces, { title, shapes, xaxis: { type: "log", title: { text: "step + 1" }, automargin: true },
    yaxis: { type: "log", exponentformat: "power", automargin: true }, margin: { l: 50, r: 10, t: title ? 25 : 5, b: 40 },
    font: { family: "system-ui, sans-serif", size: 11 }, legend: { orientation: "h", y: -0.3 } }, { responsive: true, displayModeBar: false });
}

function options(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
}

function controls() {
  const { header } = runs[0];
  const axes = header.axes.filter((axis) => axis.values.length > 1).map((axis) => [axis.name, axis.name]);
  const measures = header.measures.map((measure) => [measure.name, measure.label]);
  const penalties = axisOf(runs[0], "penalty").values;
  options(byId("block"), [["", "all blocks"], ...header.blocks.map((block) => [block.name, block.name])]);
  options(byId("penalty"), [["", "all penalties"], ...penalties.map((name) => [name, name])]);
  for (const id of ["x", "y"]) options(byId(id), [...axes, ...measures]);
  options(byId("colour"), [["outcome", "outcome"], ...axes, ...measures]);
  const known = new Set([...axes, ...measures].map(([name]) => name));
  const blocks = new Set(header.blocks.map((block) => block.name));
  for (const view of Object.values(PRESETS)) if (!blocks.has(view.block)) view.block = "";
  const usable = Object.entries(PRESETS).filter(([, view]) => known.has(view.x) && known.has(view.y));
  byId("presets").replaceChildren(...usable.map(([name, view]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => change(view));
    return button;
  }));
  return { known, first: usable.length ? usable[0][1] : { x: (axes[0] ?? measures[0])[0], y: measures[0][0], colour: "outcome" } };
}

function show() {
  for (const id of ["block", "penalty", "x", "y", "colour"]) byId(id).value = state[id];
  byId("laws").checked = Boolean(state.laws);
  const pressed = [...byId("presets").children];
  pressed.forEach((button) => {
    const view = PRESETS[button.textContent];
    button.setAttribute("aria-pressed", String(Object.keys(view).every((name) => view[name] === state[name])));
  });
  const block = runs[0].header.blocks.find((each) => each.name === state.block);
  byId("question").textContent = block?.question ?? "";
  const shown = runs.map((_, number) => draw(number));
  const counts = runs.map((run, number) => `${shown[number]} of ${run.header.cells} runs of ${run.header.run}`);
  const complete = runs.every((run, number) => shown[number] === run.header.cells);
  byId("status").textContent = `${counts.join(", ")} are shown.${complete ? "" : " The others are of another block or penalty, or have no value on these axes."}`;
  detail();
  document.body.dataset.drawn = String(Number(document.body.dataset.drawn ?? 0) + 1);
}

// Where a block has no value on the axes that are shown: its own axis of most values, and the first measure that it has.
function onItsOwnAxes() {
  const [run] = runs;
  const here = Array.from(run.columns[`block ${state.block}`] ?? []);
  const count = (axis) => new Set(here.map((i) => valueOf(run, axis.name, i))).size - (axis.name === "seed") / 2;
  const [axis] = run.header.axes.filter((each) => each.values.length > 1).sort((a, b) => count(b) - count(a));
  for (const y of ["distance", ...run.header.measures.map((measure) => measure.name)]) {
    state = { ...state, x: axis?.name ?? state.x, y };
    if (visible(run).length) return;
  }
}

function change(more) {
  state = { ...state, ...more };
  if (more.block && !visible(runs[0]).length) onItsOwnAxes();
  const told = Object.entries(state).filter(([name, value]) => value !== usual[name]);
  history.replaceState(null, "", `#${new URLSearchParams(told)}`);
  show();
}

function choose(key) { change({ key }); }

// To the next dot on the right, or on the left: by place, then by height.
function walk(by) {
  const run = runs.find((each) => chosenIn(each) !== null) ?? runs[0];
  const cells = visible(run);
  if (!cells.length) return;
  const x = placed(run, state.x, cells, 1);
  const y = placed(run, state.y, cells, 2);
  const order = cells.map((_, at) => at).sort((a, b) => x[a] - x[b] || y[a] - y[b]).map((at) => cells[at]);
  const here = order.indexOf(chosenIn(run));
  choose(keyOf(run, order[(here + by + order.length) % order.length]));
}

async function start() {
  const script = document.createElement("script");
  script.text = new TextDecoder().decode(await inflate(byId("plotly").textContent));
  document.head.append(script);
  runs.push(await readRun(document));
  const { known, first } = controls();
  const linked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  usual = { ...START, ...first };
  state = { ...usual, ...Object.fromEntries(Object.entries(linked).filter(([name]) => name in START)) };
  for (const name of ["x", "y"]) if (!known.has(state[name])) state[name] = first[name];
  if (state.colour !== "outcome" && !known.has(state.colour)) state.colour = "outcome";
  for (const [name, there] of [["block", runs[0].header.blocks.map((b) => b.name)], ["penalty", axisOf(runs[0], "penalty").values]])
    if (!there.includes(state[name])) state[name] = "";
  for (const id of ["block", "penalty", "x", "y", "colour"]) byId(id).addEventListener("change", (event) => change({ [id]: event.target.value }));
  byId("laws").addEventListener("change", (event) => change({ laws: event.target.checked ? "1" : "" }));
  byId("other").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
      runs[1] = await readRun(new DOMParser().parseFromString(await file.text(), "text/html"));
    } catch {
      byId("status").textContent = `${file.name} is no explorer of a run.`;
      return;
    }
    byId("plot1").parentElement.hidden = false;
    show();
    window.dispatchEvent(new Event("resize"));
  });
  byId("plots").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    walk(event.key === "ArrowRight" ? 1 : -1);
  });
  for (const button of document.querySelectorAll("button[data-copy]")) button.addEventListener("click", async () => {
    const text = byId(button.dataset.copy).textContent;
    try { await navigator.clipboard.writeText(text); } catch {
      getSelection().selectAllChildren(byId(button.dataset.copy));
      document.execCommand("copy");
    }
    byId("status").textContent = "copied";
  });
  window.addEventListener("hashchange", () => location.reload());
  show();
}

start().catch((error) => { byId("status").textContent = `This page could not be drawn: ${error.message}`; throw error; });
