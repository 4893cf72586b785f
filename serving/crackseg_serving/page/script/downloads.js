// What can be saved: the server's documents as they came, and the same as tables and maps, of one photograph or of all.
// The columns and members are the server's own (`output=csv`, `output=geojson`); a test holds both equal.

const LENGTHS = ["length", "meanWidth", "maximumWidth"];
const PIXELS = [...withErrors([...LENGTHS, "area"], "Pixels"), "orientationDegrees", "branchCount"];
const BOX = ["x", "y", "width", "height"];
const MILLIMETRES = [...withErrors(LENGTHS, "Millimetres"), ...withErrors(["area"], "SquareMillimetres"), "severity"];

/** The names of figures in a unit, each followed by that of its error. */
function withErrors(figures, unit) {
  return figures.flatMap((figure) => [`${figure}${unit}`, `${figure}Error${unit}`]);
}

/** CSV (RFC 4180): a row for each crack. With `named`, the photograph's name comes first. */
export function toCsv(photographs, named) {
  const scaled = photographs.some(({ answer }) => answer.measurements.millimetresPerPixel !== null);
  const last = scaled ? MILLIMETRES : [];
  const boxes = BOX.map((side) => `box${side[0].toUpperCase()}${side.slice(1)}Pixels`);
  const rows = [[...(named ? ["photograph"] : []), "crack", ...PIXELS, ...boxes, ...last]];
  for (const { name, answer } of photographs) {
    answer.measurements.cracks.forEach((crack, place) => {
      const box = BOX.map((side) => crack.boundingBox[side]);
      const figures = [...PIXELS.map((key) => crack[key]), ...box, ...last.map((key) => crack[key])];
      rows.push([...(named ? [name] : []), place + 1, ...figures]);
    });
  }
  return rows.map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

function field(value) {
  const words = String(value ?? "");
  return /[",\r\n]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words;
}

/** GeoJSON (RFC 7946) of one photograph: a feature for each crack, where the server says that the photograph lies. */
export function toGeoJson({ answer }) {
  const { measurements, placement, ...described } = answer;
  const { kind, note } = placement;
  const features = measurements.cracks.map((crack, place) => feature(place + 1, crack, placement));
  return { type: "FeatureCollection", placement: { kind, note }, features, ...described };
}

/** The same of many: each feature names its photograph, and `photographs` has what else is known of each. */
export function allToGeoJson(photographs) {
  const features = [];
  const known = photographs.map(({ name, answer }) => {
    const { features: own, type, ...rest } = toGeoJson({ answer });
    for (const one of own) features.push({ ...one, id: features.length + 1, properties: { photograph: name, ...one.properties } });
    return { name, ...rest };
  });
  return { type: "FeatureCollection", photographs: known, features };
}

function feature(id, crack, placement) {
  const { polygon, ...properties } = crack;
  const coordinates = [closed(polygon.outer, placement, true), ...polygon.holes.map((hole) => closed(hole, placement, false))];
  return { type: "Feature", id, geometry: { type: "Polygon", coordinates }, properties };
}

/** A ring with its first point repeated, the right way round for the axes that it is drawn in. */
function closed(ring, { x, y }, anticlockwise) {
  const place = ([column, row]) => [x, y].map((part) => round(part[0] * column + part[1] * row + part[2]));
  const points = [...ring, ring[0]].map(place);
  const [left, top] = points[0]; // large coordinates would drown a crack's area
  let twice = 0;
  for (let k = 1; k < points.length; k++) {
    const [a, b] = [points[k - 1], points[k]];
    twice += (a[0] - left) * (b[1] - top) - (b[0] - left) * (a[1] - top);
  }
  return twice > 0 === anticlockwise ? points : points.reverse();
}

function round(value) {
  return Math.round(value * 1e9) / 1e9;
}

/** Hands a file to the person. */
export function save(content, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name.replaceAll("/", "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
