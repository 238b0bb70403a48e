const sideways = () => {
  for (const sign of document.querySelectorAll(".sideways")) sign.hidden = sign.nextElementSibling.scrollWidth <= sign.nextElementSibling.clientWidth + 1;
};
addEventListener("resize", sideways);
sideways();
const under = document.createElement("output");
under.className = "under";
under.hidden = true;
document.body.append(under);
const digits = (value) => (value === 0 ? "0" : Math.abs(value) < 0.001 || Math.abs(value) >= 1e6 ? value.toExponential(1) : String(+value.toPrecision(3)));
const cell = (edges, value) => edges.findIndex((edge, place) => place < edges.length - 1 && (value - edge) * (value - edges[place + 1]) <= 0);
for (const svg of document.querySelectorAll("svg[data-axes]")) {
  const axes = JSON.parse(svg.dataset.axes);
  svg.addEventListener("pointerleave", () => { under.hidden = true; });
  svg.addEventListener("pointermove", (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const one = axes.find(({ at }) => x >= at[0] && x <= at[0] + at[2] && y >= at[1] && y <= at[1] + at[3]);
    const value = (axis, share) => {
      const [low, high] = axis[2] ? [Math.log(axis[0]), Math.log(axis[1])] : axis;
      return axis[2] ? Math.exp(low + share * (high - low)) : low + share * (high - low);
    };
    const parts = [];
    if (one) {
      const across = one.x && value(one.x, (x - one.at[0]) / one.at[2]), up = one.y && value(one.y, 1 - (y - one.at[1]) / one.at[3]);
      if (one.x) parts.push(`${one.x[3]} ${digits(across)}`);
      if (one.y) parts.push(`${one.y[3]} ${digits(up)}`);
      const found = one.values && one.x && one.y && one.values[cell(one.rows, up)]?.[cell(one.columns, across)];
      if (found !== undefined && found !== null) parts.push(`${one.name} ${found}`);
    }
    under.hidden = !parts.length;
    under.textContent = parts.join(", ");
    under.style.left = `${Math.min(event.clientX + 14, innerWidth - under.offsetWidth - 8)}px`;
    under.style.top = `${Math.max(8, event.clientY - under.offsetHeight - 12)}px`;
  });
}
