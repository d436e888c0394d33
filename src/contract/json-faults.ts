/** Finds the fault of a request in JSON: the path of the field, and what was expected there. */

import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  ScalarType,
} from '@bufbuild/protobuf';
import { quoted } from './errors.ts';

export type JsonFault = { readonly where: string; readonly expected: string; readonly actual: string };

/**
 * @param where names the message, and begins the path of a field
 * @returns the first field that is unknown or of a wrong type; undefined if there is none
 */
export function jsonFaultOf(message: DescMessage, json: unknown, where: string): JsonFault | undefined {
  if (!isObject(json)) return { where, expected: 'a JSON object', actual: shown(json) };
  const separator = where.includes(' ') ? '.' : ' ';
  for (const [name, value] of Object.entries(json)) {
    const field = message.fields.find((one) => one.jsonName === name || one.name === name);
    if (field === undefined) {
      const names = message.fields.map(({ jsonName }) => jsonName).join(', ');
      return { where, expected: names === '' ? 'no field' : `fields among ${names}`, actual: quoted(name) };
    }
    const fault = fieldFault(message, field, { value, where: `${where}${separator}${field.jsonName}` });
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** The given fields of the first oneof that has several; else none. */
export function rivalsIn({ oneofs }: DescMessage, json: object): readonly string[] {
  const present = Object.entries(json).flatMap(([name, value]) => (value === null ? [] : [name]));
  const given = oneofs.map(({ fields }) =>
    fields.flatMap(({ name, jsonName }) => (present.includes(name) || present.includes(jsonName) ? [jsonName] : [])),
  );
  return given.find(({ length }) => length > 1) ?? [];
}

type Given = { readonly value: unknown; readonly where: string };

function fieldFault(message: DescMessage, field: DescField, { value, where }: Given): JsonFault | undefined {
  const inside = insideFault(field, { value, where });
  if (inside !== undefined) return inside;
  if (isInexact(field, value)) return { where, expected: 'an integer, beyond 2^53 as a text', actual: 'a number' };
  // The library accepts numbers that an enum does not have.
  const isKnown = field.fieldKind !== 'enum' || value === null || hasValue(field.enum, value);
  if (isKnown && takes(message, { [field.name]: value })) return undefined;
  return { where, expected: expectedOf(field), actual: shown(value) };
}

/** The fault inside the message or messages of a field. */
function insideFault(field: DescField, { value, where }: Given): JsonFault | undefined {
  const { message } = field;
  if (message === undefined || value === null) return undefined;
  if (field.fieldKind === 'message') return jsonFaultOf(message, value, where);
  const items = field.fieldKind === 'list' ? Array.isArray(value) : isObject(value);
  if (!items) return undefined;
  for (const [key, item] of Object.entries(value as object)) {
    const fault = jsonFaultOf(message, item, `${where}.${key}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function takes(message: DescMessage, json: unknown): boolean {
  try {
    fromJson(message, json as JsonObject);
    return true;
  } catch {
    return false;
  }
}

/** JSON's reader takes such a number for one near it. */
const isInexact = ({ scalar }: DescField, value: unknown): boolean =>
  typeof value === 'number' &&
  Number.isInteger(value) &&
  !Number.isSafeInteger(value) &&
  scalar !== undefined &&
  ScalarType[scalar].endsWith('64');

const hasValue = ({ values }: DescEnum, value: unknown): boolean =>
  values.some(({ name, number }) => name === value || number === value);

function expectedOf(field: DescField): string {
  if (field.fieldKind === 'list') return `a list of ${itemOf(field)}`;
  if (field.fieldKind === 'map') return `an object of ${itemOf(field)}`;
  if (field.fieldKind === 'enum') return `one of ${field.enum.values.map(({ name }) => name).join(', ')}`;
  return field.fieldKind === 'scalar' ? scalarName(field.scalar) : 'a JSON object';
}

const itemOf = ({ scalar, enum: words }: DescField): string =>
  scalar !== undefined ? `values, each ${scalarName(scalar)}` : words !== undefined ? 'words' : 'objects';

/** Describes the JSON value of a scalar type. */
function scalarName(type: ScalarType): string {
  if (type === ScalarType.BOOL) return 'true or false';
  if (type === ScalarType.STRING) return 'a text';
  if (type === ScalarType.BYTES) return 'a text in base64';
  // INT32, UINT64, SFIXED32 and the like.
  const [, kind, bits] = /^(.*?)(32|64)$/.exec(ScalarType[type]) ?? [];
  if (bits === undefined) return 'a number';
  const isUnsigned = kind === 'UINT' || kind === 'FIXED';
  const range = isUnsigned ? `[0, 2^${bits})` : `[-2^${Number(bits) - 1}, 2^${Number(bits) - 1})`;
  return `an integer in ${range}${bits === '64' ? ', as a number or a text' : ''}`;
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value as text of bounded length. */
function shown(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch {
    // The stack ends before the value does.
    return 'lists inside lists';
  }
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}
