// Charts: draws the JSON data blocks that pages carry with uPlot. Global
// `charts` has sync(root), which draws what is new, updates what changed and
// forgets what is gone, and redraw(), for a change of theme or size.
"use strict";
const charts = (() => {
  const live = new Map(); // .plot element → {plot, spec, json}
  const HEIGHT = 190, LOW = 96; // pixels; LOW for a histogram above rows
  // Counts have whole ticks: 1, 2, 5, 10, …
  const WHOLE = [];
  for (let p = 1; p < 1e15; p *= 10) WHOLE.push(p, 2 * p, 5 * p);

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function number(v) {
    if (v == null || !isFinite(v)) return "–";
    const a = Math.abs(v);
    if (a < 1e4) return v.toLocaleString("en", {maximumFractionDigits: a < 10 ? 2 : a < 100 ? 1 : 0});
    for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (a >= size) return (v / size).toLocaleString("en", {maximumSignificantDigits: 3}) + unit;
    }
  }

  function exact(v) {
    return v == null ? "–" : v.toLocaleString("en", {maximumFractionDigits: 2});
  }

  function seconds(v) {
    if (v == null) return "–";
    if (v === 0) return "0";
    if (v < 0.001) return (v * 1e6).toFixed(0) + " µs";
    if (v < 1) return +(v * 1e3).toPrecision(3) + " ms";
    if (v < 120) return +v.toPrecision(3) + " s";
    return +(v / 60).toPrecision(3) + " min";
  }

  function percent(v) {
    return v == null ? "–" : +(v * 100).toPrecision(3) + "%";
  }

  const axisFormat = {count: number, rate: number, seconds, percent};
  const valueFormat = {count: exact, rate: exact, seconds, percent};

  const two = (n) => String(n).padStart(2, "0");
  const clock = (d, secs) => two(d.getHours()) + ":" + two(d.getMinutes()) + (secs ? ":" + two(d.getSeconds()) : "");
  const date = (d) => d.toLocaleDateString(undefined, {month: "short", day: "numeric"});

  function bucketLabel(t, step) {
    const from = new Date(t * 1000), to = new Date((t + step) * 1000);
    const days = from.toDateString() !== to.toDateString();
    if (step >= 86400) return from.toLocaleDateString(undefined, {weekday: "short", year: "numeric", month: "short", day: "numeric"});
    return date(from) + " " + clock(from, step < 60) + " – " + (days ? date(to) + " " : "") + clock(to, step < 60);
  }

  // Lines are drawn in two parts: solid while complete, dashed from the last
  // complete point on. Stacked series are drawn as sums, the largest first.
  function columns(spec) {
    const cols = spec.series.map((s) => s.values);
    if (spec.kind === "bars") return cols;
    if (spec.kind === "line") {
      let n = spec.times.findIndex((t) => spec.complete && t + spec.step > spec.complete);
      if (n < 0) n = spec.times.length;
      return cols.flatMap((c) => [c.map((v, i) => i < n ? v : null), c.map((v, i) => i >= n - 1 ? v : null)]);
    }
    const sums = cols.map((c) => c.slice());
    for (let i = 1; i < sums.length; i++) {
      for (let j = 0; j < sums[i].length; j++) {
        if (sums[i][j] != null || sums[i - 1][j] != null) sums[i][j] = (sums[i][j] || 0) + (sums[i - 1][j] || 0);
      }
    }
    return sums.reverse();
  }

  const drawn = (spec) => spec.kind === "stack" ? spec.series.slice().reverse() : spec.series;

  function seriesOptions(spec) {
    const bars = spec.kind !== "line";
    const list = drawn(spec);
    const area = spec.kind === "line" && spec.unit === "count";
    return list.flatMap((s) => {
      const color = css("--" + s.color);
      const o = {label: s.label, stroke: color, width: bars ? 0 : 1.5, points: {show: false}, spanGaps: false};
      if (bars) {
        o.fill = color;
        o.paths = uPlot.paths.bars({size: [0.86, 60], align: 1, radius: list.length > 1 ? 0 : 0.08});
      } else {
        if (area) o.fill = color + "1c";
        o.points = {show: (u, i, a, b) => b - a < 2, size: 4, fill: color};
        return [o, {...o, fill: undefined, dash: [3, 3]}];
      }
      return [o];
    });
  }

  // Shades what is not complete yet: it may still grow.
  function shade(spec) {
    return (u) => {
      if (!spec.complete || spec.complete >= u.scales.x.max) return;
      const x0 = Math.max(u.valToPos(spec.complete, "x", true), u.bbox.left);
      const x1 = u.bbox.left + u.bbox.width;
      if (x1 - x0 < 1) return;
      const c = u.ctx;
      c.save();
      c.fillStyle = css("--pending");
      c.fillRect(x0, u.bbox.top, x1 - x0, u.bbox.height);
      c.strokeStyle = css("--pending-edge");
      c.lineWidth = devicePixelRatio;
      c.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      c.beginPath();
      c.moveTo(x0, u.bbox.top);
      c.lineTo(x0, u.bbox.top + u.bbox.height);
      c.stroke();
      c.restore();
    };
  }

  function tooltip(spec) {
    const box = document.createElement("div");
    box.className = "tip";
    box.hidden = true;
    const row = (label, value, color) => {
      const r = document.createElement("div");
      if (color) {
        const dot = document.createElement("i");
        dot.className = "key " + color;
        r.append(dot);
      }
      const l = document.createElement("span");
      l.textContent = label;
      const v = document.createElement("b");
      v.textContent = value;
      r.append(l, v);
      return r;
    };
    return {
      hooks: {
        init: (u) => u.over.append(box),
        setCursor: (u) => {
          const i = u.cursor.idx;
          if (i == null || u.cursor.left < 0) { box.hidden = true; return; }
          const t = spec.times[i];
          const head = document.createElement("header");
          head.textContent = bucketLabel(t, spec.step) + (spec.complete && t + spec.step > spec.complete ? " · still filling" : "");
          const rows = spec.series.map((s) => row(s.label, valueFormat[spec.unit](s.values[i]), s.color));
          if (spec.kind === "stack") rows.reverse();
          box.replaceChildren(head, ...rows);
          box.hidden = false;
          const w = box.offsetWidth, room = u.over.clientWidth;
          const x = u.cursor.left + 14 + w > room ? u.cursor.left - w - 14 : u.cursor.left + 14;
          box.style.transform = `translate(${Math.max(-40, x)}px, 4px)`;
        },
      },
    };
  }

  function legend(spec) {
    if (spec.series.length < 2) return null;
    const box = document.createElement("div");
    box.className = "legend";
    for (const s of spec.series) {
      const item = document.createElement("span");
      const dot = document.createElement("i");
      dot.className = "key " + s.color;
      item.append(dot, s.label);
      box.append(item);
    }
    return box;
  }

  // Percentages never show less than 1% full scale, or noise looks like alarm.
  function yRange(spec) {
    return (u, min, max) => {
      if (max == null || max <= 0) return [0, spec.unit === "percent" ? 0.01 : 1];
      if (spec.unit === "percent") return [0, Math.min(1, Math.max(0.01, max * 1.12))];
      return [0, max * 1.12];
    };
  }

  function options(spec, width, height) {
    const text = css("--dim"), line = css("--grid");
    const font = "11px " + css("--font");
    const axis = {stroke: text, font, ticks: {show: false}, grid: {stroke: line, width: 1}};
    return {
      width, height,
      padding: [10, 10, 0, 0],
      legend: {show: false},
      cursor: {
        sync: {key: "time"}, y: false,
        drag: {x: true, y: false, setScale: false, dist: 6},
        points: {show: spec.kind === "line", size: 6, width: 0},
      },
      select: {show: true},
      scales: {
        x: {time: true, range: () => [spec.from, spec.to]}, // spec changes on refresh
        y: {range: yRange(spec)},
      },
      axes: [
        {...axis, grid: {show: false}, space: 70, size: 28, gap: 6, values: ticks},
        {...axis, size: 52, gap: 6, space: height < 120 ? 18 : 30, values: (u, vals) => vals.map((v) => axisFormat[spec.unit](v)),
          ...(spec.unit === "count" ? {incrs: WHOLE} : {})},
      ],
      series: [{}, ...seriesOptions(spec)],
      plugins: [tooltip(spec)],
      hooks: {drawClear: [shade(spec)], setSelect: [(u) => zoom(u, spec)]},
    };
  }

  function ticks(u, splits, axis, space, incr) {
    return splits.map((t, i) => {
      const d = new Date(t * 1000);
      const midnight = d.getHours() === 0 && d.getMinutes() === 0;
      if (incr >= 86400 * 27) return d.toLocaleDateString(undefined, {month: "short", year: "numeric"});
      if (incr >= 86400 || midnight) return date(d);
      return clock(d, incr < 60);
    });
  }

  function zoom(u, spec) {
    if (u.select.width < 6) return;
    let from = u.posToVal(u.select.left, "x"), to = u.posToVal(u.select.left + u.select.width, "x");
    u.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
    from = Math.floor(from / 60) * 60;
    to = Math.max(Math.ceil(to / 60) * 60, from + 60);
    document.dispatchEvent(new CustomEvent("millrace:zoom", {detail: {from, to}}));
  }

  function openLogs(spec, i) {
    if (!spec.logs || i == null) return;
    const t = spec.times[i];
    document.dispatchEvent(new CustomEvent("millrace:logs", {detail: {q: spec.logs, from: t, to: t + spec.step}}));
  }

  function listen(el, u, spec) {
    let down = 0, touch = false;
    u.over.addEventListener("pointerdown", (e) => { down = e.clientX; touch = e.pointerType === "touch"; });
    u.over.addEventListener("click", (e) => {
      if (!touch && Math.abs(e.clientX - down) < 4) openLogs(spec, u.cursor.idx);
    });
    if (spec.logs) u.over.classList.add("clickable");
  }

  function keys(el, e) {
    const c = live.get(el);
    if (!c) return;
    const last = c.spec.times.length - 1;
    let i = c.plot.cursor.idx;
    if (e.key === "ArrowRight") i = i == null ? 0 : Math.min(last, i + 1);
    else if (e.key === "ArrowLeft") i = i == null ? last : Math.max(0, i - 1);
    else if (e.key === "Enter") return openLogs(c.spec, i);
    else if (e.key === "Escape") return c.plot.setCursor({left: -10, top: -10});
    else return;
    e.preventDefault();
    const left = c.plot.valToPos(c.spec.times[i] + (c.spec.kind === "line" ? 0 : c.spec.step / 2), "x");
    c.plot.setCursor({left: Math.min(left, c.plot.over.clientWidth - 1), top: 10});
  }

  function draw(el, json) {
    const spec = JSON.parse(json);
    const data = [spec.times, ...columns(spec)];
    const old = live.get(el);
    if (old && old.shape === shape(spec)) {
      Object.assign(old.spec, spec);
      old.json = json;
      old.plot.batch(() => {
        old.plot.setData(data, false);
        old.plot.setScale("x", {min: spec.from, max: spec.to});
      });
      return;
    }
    if (old) destroy(el);
    el.replaceChildren();
    const height = el.closest(".histogram") ? LOW : HEIGHT;
    const plot = new uPlot(options(spec, el.clientWidth || 300, height), data, el);
    const box = legend(spec);
    if (box) el.append(box);
    listen(el, plot, spec);
    if (!el.dataset.keys) {
      el.dataset.keys = "1";
      el.addEventListener("keydown", (e) => keys(el, e));
    }
    live.set(el, {plot, spec, json, shape: shape(spec)});
    watch.observe(el);
  }

  // Charts of one shape differ in numbers only and can be updated in place.
  const shape = (spec) => JSON.stringify([spec.id, spec.kind, spec.unit, spec.series.map((s) => [s.label, s.color])]);

  function destroy(el) {
    const c = live.get(el);
    if (!c) return;
    c.plot.destroy();
    live.delete(el);
    watch.unobserve(el);
  }

  const watch = new ResizeObserver((entries) => {
    for (const e of entries) {
      const c = live.get(e.target);
      const width = Math.floor(e.contentRect.width);
      if (c && width > 0 && width !== c.plot.width) c.plot.setSize({width, height: c.plot.height});
    }
  });

  function sync() {
    for (const el of live.keys()) if (!el.isConnected) destroy(el);
    for (const el of document.querySelectorAll(".chart > .plot")) {
      const json = el.nextElementSibling.textContent;
      const c = live.get(el);
      if (!c || c.json !== json) draw(el, json);
    }
    document.documentElement.dataset.charts = String(live.size);
  }

  function redraw() {
    for (const el of [...live.keys()]) {
      const json = live.get(el).json;
      destroy(el);
      draw(el, json);
    }
  }

  return {sync, redraw};
})();
