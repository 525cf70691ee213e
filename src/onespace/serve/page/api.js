// The server, as the page sees it: everything that the page asks for is asked here. `/docs` describes the bodies.

const KEY = "onespace.key";
const TRIES = 5; // at what the server is too busy for

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const headers = () => {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
};

async function ask(path, body, signal) {
  const sent = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  for (let tries = 1; ; tries++) {
    const answer = await fetch(path, { ...sent, headers: { ...type, ...headers() }, signal });
    if (answer.status === 429 && tries < TRIES) {
      await pause(Number(answer.headers.get("Retry-After")) || 1);
      signal?.throwIfAborted();
      continue;
    }
    const told = await answer.json().catch(() => null);
    if (!answer.ok) throw new Refused(answer.status, told?.error?.message ?? `${answer.status} ${answer.statusText}`);
    return told;
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

export const info = () => ask("info");
export const search = (body, signal) => ask("search", body, signal);
export const explain = (body, signal) => ask("explain", body, signal);
export const compare = (body, signal) => ask("compare", body, signal);
export const items = (limit, after, filter, signal) =>
  ask(
    `items?${new URLSearchParams({ limit, after, ...(filter && { filter: JSON.stringify(filter) }) })}`,
    undefined,
    signal,
  );
export const map = (method, signal) => ask(`map?method=${method}`, undefined, signal);

export const keep = (key) => sessionStorage.setItem(KEY, key);

/** An address that an <img> can show: with a key, the picture is fetched here, since an <img> sends none. */
export async function picture(source) {
  if (!source || source.startsWith("data:") || !sessionStorage.getItem(KEY)) return source;
  const answer = await fetch(source, { headers: headers() });
  return answer.ok ? URL.createObjectURL(await answer.blob()) : "";
}
