/** Prometheus' text exposition format, read strictly: what a scraper would refuse is an error here. */

export type Sample = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};
export type Family = { readonly type: string; readonly help: string; readonly samples: Sample[] };

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const suffixes: Readonly<Record<string, RegExp>> = { histogram: /_(bucket|sum|count)$/, summary: /_(sum|count)$/ };

/**
 * The families of a scrape, by name.
 * @throws Error: a line that is none of the format's; a sample outside its family; a series twice; a family without type
 */
export function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const helps = new Map<string, string>();
  const series = new Set<string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, keyword, name, rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') helps.set(name!, rest!);
    else if (keyword === 'TYPE') {
      if (families.has(name!)) throw new Error(`${name}: two families`);
      families.set(name!, { type: rest!, help: helps.get(name!) ?? '', samples: [] });
    } else {
      const [, sample, labels = '', value] = sampleLine.exec(line) ?? [];
      if (sample === undefined) throw new Error(`not a sample: ${line}`);
      const found = families.get(sample) ?? familyOf(families, sample);
      if (found === undefined) throw new Error(`${sample}: no family`);
      const key = `${sample}{${labels}}`;
      if (series.has(key)) throw new Error(`${key}: twice`);
      series.add(key);
      found.samples.push({ name: sample, labels: parseLabels(labels), value: numberOf(value!) });
    }
  }
  return families;
}

function familyOf(families: ReadonlyMap<string, Family>, sample: string): Family | undefined {
  for (const [type, suffix] of Object.entries(suffixes)) {
    const family = families.get(sample.replace(suffix, ''));
    if (family?.type === type) return family;
  }
  return undefined;
}

function parseLabels(text: string): Record<string, string> {
  const pairs = [...text.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)/g)];
  if (pairs.map(([whole]) => whole).join('') !== text) throw new Error(`not labels: ${text}`);
  return Object.fromEntries(pairs.map(([, name, value]) => [name!, value!]));
}

function numberOf(text: string): number {
  const value = text === '+Inf' ? Number.POSITIVE_INFINITY : text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
  // prom-client writes `Nan`, Prometheus reads it in any case; so are the means of the event loop's delay before the first one.
  if (Number.isNaN(value) && text.toLowerCase() !== 'nan') throw new Error(`not a value: ${text}`);
  return value;
}
