/** Writes MJCF, MuJoCo's model language, from plain data. Knows the syntax of elements, not their meaning. */

export type MjcfValue = number | boolean | string | readonly number[];

export type MjcfElement = {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, MjcfValue>>;
  readonly children: readonly MjcfElement[];
};

/** One element; attributes that are `undefined` are left out. */
export function element(
  tag: string,
  attributes: Readonly<Record<string, MjcfValue | undefined>> = {},
  children: readonly MjcfElement[] = [],
): MjcfElement {
  const given = Object.entries(attributes).filter((entry): entry is [string, MjcfValue] => entry[1] !== undefined);
  return { tag, attributes: Object.fromEntries(given), children };
}

/** The XML text of an element and its children, indented. Numbers keep all their digits. */
export function renderMjcf({ tag, attributes, children }: MjcfElement, indent = ''): string {
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${text(value)}"`);
  const open = `${indent}<${tag}${written.join('')}`;
  if (children.length === 0) return `${open}/>\n`;
  const inner = children.map((child) => renderMjcf(child, `${indent}  `)).join('');
  return `${open}>\n${inner}${indent}</${tag}>\n`;
}

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '"': '&quot;' };

function text(value: MjcfValue): string {
  if (typeof value === 'object') return value.join(' ');
  return String(value).replace(/[&<"]/g, (character) => escapes[character]!);
}
