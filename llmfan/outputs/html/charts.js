"use strict";
// The charts: drawn one after the other from the specifications in the page, at the width their place has.
(() => {
  const make = (tag, style, text) => Object.assign(document.createElement(tag), { className: style, textContent: text });

  const tip = make("div", "tip", "");
  tip.setAttribute("aria-hidden", "true");
  tip.hidden = true;
  const hover = (_handler, event, _item, value) => {
    if (value === null || value === undefined || value === "") { tip.hidden = true; return; }
    const lines = typeof value === "object" ? Object.entries(value) : [["", value]];
    tip.replaceChildren(
      ...lines.map(([key, one]) => {
        const line = make("div", "", "");
        line.append(make("b", "", key + " "), String(one));
        return line;
      }),
    );
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const top = event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.max(4, top) + "px";
  };
  // A name too long for its place loses its middle: how it ends (the key's number, the limit) tells it from others.
  const pen = document.createElement("canvas").getContext("2d");
  const fitted = (name, room) => {
    pen.font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    const wide = (text) => pen.measureText(text).width;
    if (wide(name) <= room) return name;
    const cut = (head, end) => {
      for (let keep = head.length - 1; keep > 2; keep--) {
        const back = Math.floor(keep / 2);
        const made = head.slice(0, keep - back).join("") + "…" + head.slice(head.length - back).join("") + end;
        if (wide(made) <= room) return made;
      }
      return "";
    };
    const at = name.lastIndexOf(" · ");
    return (at > 0 && cut([...name.slice(0, at)], name.slice(at))) || cut([...name], "") || name;
  };
  const fitRows = (spec, room) => {
    const y = spec.encoding?.y;
    if (y?.type !== "nominal") return;
    const names = [...new Set(spec.data.values.map((value) => value[y.field]))];
    const short = names.map((name) => fitted(name, room));
    if (names.some((name, place) => name !== short[place]))
      y.axis.labelExpr = `${JSON.stringify(short)}[indexof(${JSON.stringify(names)}, datum.label)]`;
  };

  // Names beside their points, where they cover neither a point nor another name, nor if possible an interval; the
  // ones that find no room are left out: each is in a table and in the tip as well.
  const PLACES = [["start", 10, -9], ["end", -10, -9], ["start", 10, 9], ["end", -10, 9], ["middle", 0, -17], ["middle", 0, 18], ["start", 12, 0], ["end", -12, 0]];
  const settle = (host) => {
    const svg = host.querySelector("svg");
    const boxes = (selector) => [...host.querySelectorAll(selector)].map((each) => each.getBoundingClientRect());
    const frame = svg.getBoundingClientRect();
    const taken = boxes("[class*=points_] path");
    const spans = boxes(".spans_marks line");
    const apart = (a, b) => a.right + 1 < b.left || b.right + 1 < a.left || a.bottom < b.top || b.bottom < a.top;
    const within = (box) => box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
    const put = (text, others) =>
      PLACES.some(([anchor, dx, dy]) => {
        for (const [key, value] of [["text-anchor", anchor], ["dx", dx], ["dy", dy]]) text.setAttribute(key, value);
        const box = text.getBoundingClientRect();
        return within(box) && others.every((other) => apart(box, other));
      });
    for (const text of host.querySelectorAll(".names_marks text")) {
      if (put(text, [...taken, ...spans]) || put(text, taken)) taken.push(text.getBoundingClientRect());
      else text.remove();
    }
  };

  const views = new WeakMap(); // figure → what is drawn in it: its choice, its width, how to let go of it
  const draw = async (figure, name) => {
    const specs = JSON.parse(figure.querySelector("script.spec").textContent);
    const host = figure.querySelector(".draw");
    const wide = host.clientWidth || 700;
    const columns = Math.max(1, Math.floor(wide / 190));
    const room = Math.round(Math.min(220, wide * 0.36));
    const config = {
      legend: { columns, labelLimit: Math.min(220, Math.round((wide - 60) / columns - 45)) },
      axisY: { labelLimit: room + 6 },
      axisX: { tickCount: Math.max(3, Math.min(10, Math.floor(wide / 80))) },
    };
    const spec = specs[name] || Object.values(specs)[0];
    spec.width = wide; // of its own accord the library would follow the window, and undo what is settled below
    fitRows(spec, room);
    try {
      views.get(figure)?.finalize();
      const made = await vegaEmbed(host, spec, { renderer: "svg", actions: false, ast: true, tooltip: hover, config });
      views.set(figure, { name, wide, finalize: () => made.finalize() });
      settle(host);
      figure.dataset.drawn = name || "yes";
    } catch (problem) {
      host.replaceChildren(make("p", "warn", "This chart could not be drawn: " + problem.message));
      throw problem;
    }
  };
  let turn = Promise.resolve(); // one after the other, so that none is drawn twice at once
  const drawn = (figure, name) => (turn = turn.catch(() => {}).then(() => draw(figure, name)));
  // A turned phone or another window: what has a new width is drawn again, once it has come to rest.
  const follow = () => {
    let timer = 0;
    const again = () => {
      for (const figure of document.querySelectorAll("figure.chart")) {
        const view = views.get(figure);
        if (view && Math.abs(view.wide - figure.querySelector(".draw").clientWidth) > 4) drawn(figure, view.name);
      }
    };
    new ResizeObserver(() => { clearTimeout(timer); timer = setTimeout(again, 250); }).observe(document.querySelector("main"));
  };
  const drawAll = async () => {
    for (const figure of document.querySelectorAll("figure.chart")) {
      await drawn(figure, "");
      await new Promise((next) => setTimeout(next)); // the page answers between two charts
    }
    document.documentElement.dataset.charts = "drawn";
    follow();
  };
  const choices = () => {
    for (const select of document.querySelectorAll("select[data-draw]")) {
      select.disabled = false;
      select.addEventListener("change", () => {
        for (const id of select.dataset.draw.split(" ")) drawn(document.getElementById(id), select.value);
      });
    }
  };

  document.body.append(tip);
  choices();
  drawAll();
})();
