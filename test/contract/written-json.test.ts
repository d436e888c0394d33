import { expect, test } from 'vitest';
import { parseWrittenJson } from '../../src/contract/written-json.ts';

test('what gives each name once is parsed as JSON is', () => {
  const text = JSON.stringify({
    a: { a: [{ a: 1 }, { a: 2 }], b: {} },
    b: 'a": 1, "a": {"a',
    'quoted "a"': '\\',
    '': [[], '}', '{'],
  });
  expect(parseWrittenJson(text)).toEqual(JSON.parse(text));
  expect(parseWrittenJson('1')).toBe(1);
});

test.each([
  ['{"a":1,"a":1}', '"a" twice in an object (line 1)'],
  ['[{}, {"b": {"a": {"a": 1},\n"c": [{"a": 1}],\n\n "a" \n: 2}}]', '"a" twice in an object (line 1 and line 4)'],
  ['{"b": "{", "\\u0061": 1, "a": 2}', '"a" twice in an object (line 1)'],
  ['{"__proto__": 1, "__proto__": 2}', '"__proto__" twice in an object (line 1)'],
  [`{"": 1, "x": "${'\\"'.repeat(1e6)}", "": 2}`, '"" twice in an object (line 1)'],
])('%.30s: a name that an object gives twice is refused', (text, message) => {
  expect(() => parseWrittenJson(text)).toThrow(new Error(message));
});

test('a text that is none is refused as JSON.parse does', () => {
  expect(() => parseWrittenJson('{"a":1,"a":}')).toThrow(SyntaxError);
});

test('depth takes no stack', () => {
  const depth = 5000;
  expect(parseWrittenJson('{"a":'.repeat(depth) + 1 + '}'.repeat(depth))).toHaveProperty('a.a.a');
});
