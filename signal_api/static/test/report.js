// A report as a link: the facts, packed into the part of a URL that is never sent to a server.

const VERSION = 1;
const PREFIX = "report=";
const LONGEST = 200_000; // characters of JSON: a link that unpacks to more is no report

const packed = (text) => new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer();

export async function linkOf(page, facts) {
  const bytes = new Uint8Array(await packed(JSON.stringify({ version: VERSION, ...facts })));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return `${page}#${PREFIX}${text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

// The facts in a fragment; null when there are none, an Error's message says what is wrong with it otherwise.
export async function factsIn(fragment) {
  const text = fragment.replace(/^#/, "");
  if (!text.startsWith(PREFIX)) return null;
  let facts;
  try {
    const bytes = Uint8Array.from(atob(text.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
    facts = JSON.parse(await unpacked(bytes));
  } catch {
    throw new Error("This link holds no whole report; it may have been cut off when it was copied.");
  }
  if (facts?.version !== VERSION) throw new Error("This report was made by another release; open it with that one.");
  return facts;
}

async function unpacked(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    if (text.length > LONGEST) throw new Error("too long");
  }
  return text;
}

// Addresses without their last part: enough to see a network, not a person.
export function masked(facts) {
  const hide = (text) => text
    .replace(/\b(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}\b/g, "$1.x")
    .replace(/\b([0-9a-f]{1,4}:[0-9a-f]{0,4}:[0-9a-f]{0,4})(?::[0-9a-f]{0,4})+/gi, "$1:x");
  const walk = (value) => {
    if (typeof value === "string") return hide(value);
    if (Array.isArray(value)) return value.map(walk);
    return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, walk(one)])) : value;
  };
  return walk(facts);
}
