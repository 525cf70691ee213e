// A filter as people type it: kind=logo year>=2020 tag=red,blue name="two words"

const BOUNDS = { ">=": "gte", ">": "gt", "<=": "lte", "<": "lt" };
const CONDITION = /([^\s=<>",]+)\s*(>=|<=|=|>|<)\s*((?:"[^"]*"|[^\s",]+)(?:,(?:"[^"]*"|[^\s",]+))*)/gy;

/** The filter that a text means; null for none, undefined where it can't be read. */
export function parse(text) {
  const filter = {};
  const rest = text.trim();
  CONDITION.lastIndex = 0;
  let end = 0;
  while (end < rest.length) {
    const match = CONDITION.exec(rest);
    if (!match) return undefined;
    const [, name, sign, said] = match;
    const values = said.match(/"[^"]*"|[^",]+/g).map(value);
    filter[name] =
      sign === "=" ? (values.length > 1 ? values : values[0]) : { ...filter[name], [BOUNDS[sign]]: values[0] };
    end = CONDITION.lastIndex += rest.slice(CONDITION.lastIndex).match(/^\s*/)[0].length;
  }
  return end ? filter : null;
}

function value(said) {
  if (said.startsWith('"')) return said.slice(1, -1);
  if (said === "true" || said === "false") return said === "true";
  return Number.isFinite(Number(said)) ? Number(said) : said;
}
