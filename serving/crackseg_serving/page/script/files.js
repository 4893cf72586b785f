// The photographs among the files that a person drops, chooses or pastes. Knows files and folders; no server, no page.

const PICTURE = /\.(jpe?g|png|tiff?|webp|bmp)$/i;
const WORLD = /\.(jgw|jpgw|jpegw|pgw|pngw|tfw|tifw|bpw|wld)$/i;
const LARGEST_WORLD_FILE = 1024; // bytes: six numbers

/** The photographs of a list of `{name, file}` in the order of their names, each with the world file that lies beside it. */
export async function photographsOf(entries) {
  const worlds = new Map();
  for (const { name, file } of entries) {
    if (WORLD.test(name) && file.size <= LARGEST_WORLD_FILE) worlds.set(stem(name), await file.text());
  }
  const pictures = entries.filter(({ name, file }) => PICTURE.test(name) || (file.type.startsWith("image/") && !WORLD.test(name)));
  const ordered = pictures.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const leftOut = entries.filter(({ name }) => !WORLD.test(name)).length - pictures.length;
  return { photographs: ordered.map((entry) => ({ ...entry, worldFile: worlds.get(stem(entry.name)) })), leftOut };
}

/** The files of an input; with their folders, where one was chosen. */
export function chosen(input) {
  return [...input.files].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
}

/** The files of a drop or of what was pasted, those in folders too. Call it before anything is waited for. */
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const found = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return (await Promise.all(found.filter(Boolean).map((entry) => below(entry)))).flat();
}

async function below(entry) {
  if (entry instanceof File) return [{ name: entry.name, file: entry }];
  const name = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) return [{ name, file: await new Promise((done, failed) => entry.file(done, failed)) }];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred at a time
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.filter((one) => !one.name.startsWith(".")).map(below))).flat();
}

/** A file's name without its last suffix. */
export function stem(name) {
  return name.replace(/\.[^./]+$/, "");
}
