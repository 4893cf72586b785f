// Figures as people read them: units, digits, columns. Knows the server's JSON; no page.

const NUMBER = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FIXED = [0, 1, 2].map((digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));

/** A figure with so many digits behind the point, else at most four that mean something; a dash where there is none. */
export function text(figure, digits) {
  if (figure === null || figure === undefined) return "–";
  if (typeof figure === "string") return figure;
  if (digits !== undefined) return FIXED[digits].format(figure);
  return Math.abs(figure) >= 1000 ? WHOLE.format(figure) : NUMBER.format(figure);
}

/** The table's columns: their heads, where their figures stand, and their digits; in millimetres where the scale is known. */
export function columns(measurements) {
  const known = measurements.millimetresPerPixel !== null;
  const unit = known ? "Millimetres" : "Pixels";
  const short = known ? "mm" : "px";
  return [
    { head: "Crack", name: "number", digits: 0 },
    { head: `Length (${short})`, ...bounded("length", unit), digits: 1 },
    { head: `Mean width (${short})`, ...bounded("meanWidth", unit), digits: 2 },
    { head: `Widest (${short})`, ...bounded("maximumWidth", unit), digits: 2 },
    { head: `Area (${short}²)`, ...bounded("area", known ? "SquareMillimetres" : "Pixels"), digits: 0 },
    { head: "Direction (°)", name: "orientationDegrees", digits: 0 },
    { head: "Branches", name: "branchCount", digits: 0 },
    ...(known ? [{ head: "Severity", name: "severity" }] : []),
  ];
}

/** Where a figure stands, and by how much it may be off. */
function bounded(figure, unit) {
  return { name: `${figure}${unit}`, error: `${figure}Error${unit}` };
}

/** The whole photograph's figures: `[name, figure, unit]`. */
export function totals(measurements) {
  const known = measurements.millimetresPerPixel !== null;
  const length = known
    ? metres(measurements.totalLengthMillimetres, measurements.totalLengthErrorMillimetres)
    : within(measurements.totalLengthPixels, measurements.totalLengthErrorPixels, "px");
  const area = known
    ? within(measurements.totalAreaSquareMillimetres / 100, measurements.totalAreaErrorSquareMillimetres / 100, "cm²")
    : within(measurements.totalAreaPixels, measurements.totalAreaErrorPixels, "px²");
  const { lengthDensityPerMetre: density, lengthDensityErrorPerMetre: densityError } = measurements;
  return [
    ["Cracks", text(measurements.crackCount), ""],
    ["Total length", ...length],
    ["Total area", ...area],
    ["Cracked share", percent(measurements), ""],
    ...(known ? [["Crack density", ...within(density, densityError, "m/m²")]] : []),
  ];
}

/** The share of the picture that is crack. */
export function percent(measurements) {
  return `${text(Number(measurements.areaPercent.toPrecision(2)))} %`;
}

/** "3 cracks", "1 crack", "no crack". */
export function cracks(count) {
  return count === 0 ? "no crack" : count === 1 ? "1 crack" : `${WHOLE.format(count)} cracks`;
}

/** "12 photographs", "1 photograph". */
export function counted(count) {
  return count === 1 ? "1 photograph" : `${WHOLE.format(count)} photographs`;
}

function metres(millimetres, error) {
  return millimetres < 1000 ? within(millimetres, error, "mm") : within(millimetres / 1000, error / 1000, "m");
}

/** A figure, and behind it by how much it may be off, in two digits, and the unit. */
function within(figure, error, unit) {
  return [text(figure), `± ${text(Number(error.toPrecision(2)))} ${unit}`];
}
