/** Where traces go and which, from a program's own settings and the standard variables of OpenTelemetry. A setting goes before a variable. */

import type { Logger } from 'pino';
import { failedPrecondition, invalidArgument } from '../contract/errors.ts';

export type TraceSettings = {
  /** Of the collector, for example `http://127.0.0.1:4318/v1/traces`. */
  readonly endpoint: string;
  /** Share of the requests that are traced, 0 to 1: where the client does not say, or, not parent-based, whatever it says. */
  readonly ratio: number;
  readonly isParentBased: boolean;
  /** Of one export, milliseconds. */
  readonly timeoutMs: number;
  /** What the collector is told of this server. */
  readonly resource: Readonly<Record<string, string | number>>;
};

/** The program's own settings. */
export type GivenTraces = {
  /** As in TraceSettings; null is not given. */
  readonly traceEndpoint: string | null;
  /** As in TraceSettings; 1, the default, leaves it to the variables. */
  readonly traceRatio: number;
};

/** What traces are sent to. */
export const httpUrl = 'a URL of http or https, such as http://127.0.0.1:4318/v1/traces';
export const isHttpUrl = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

/** The URL as a log may have it: without a name and a password. */
export function loggedUrl(text: string): string {
  const url = new URL(text);
  url.username = '';
  url.password = '';
  return url.href;
}

/** The same for what may be no URL. */
const withoutPassword = (text: string): string => text.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, '$1');

type Variables = Readonly<Record<string, string | undefined>>;

const defaultTimeoutMs = 5000;
const exporter = 'OTEL_EXPORTER_OTLP_';
const passedOver = 'variable passed over';

/** Read here, or by the exporter itself. */
const honoured =
  /^OTEL_(SDK_DISABLED|SERVICE_NAME|RESOURCE_ATTRIBUTES|TRACES_EXPORTER|TRACES_SAMPLER(_ARG)?|(METRICS|LOGS)_.*|EXPORTER_OTLP_(METRICS|LOGS)_.*|EXPORTER_OTLP_(TRACES_)?(ENDPOINT|HEADERS|TIMEOUT|PROTOCOL|COMPRESSION|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE))$/;

/**
 * A variable whose value has no meaning is passed over with a warning, as OpenTelemetry asks; so is one that is not known here.
 * @returns undefined if nothing is traced
 * @throws HyperpolicyError an endpoint or a protocol that is not HTTP
 */
export function readTraceSettings(
  { traceEndpoint, traceRatio }: GivenTraces,
  given: Variables,
  log: Logger,
): TraceSettings | undefined {
  // An empty variable is one that is not set.
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== ''));
  const isOff = set.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || set.OTEL_TRACES_EXPORTER === 'none';
  const endpoint = traceEndpoint ?? endpointOf(set);
  if (isOff || endpoint === undefined) {
    if (traceEndpoint !== null)
      log.warn(
        { traceEndpoint: loggedUrl(traceEndpoint) },
        'no traces: OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER says so',
      );
    return undefined;
  }
  const ignored = (name: string, expected: string) => log.warn({ name, value: set[name], expected }, passedOver);
  for (const name of Object.keys(set)) {
    // Without its value, which may be a password.
    if (name.startsWith('OTEL_') && !honoured.test(name))
      log.warn({ name, expected: 'one of those in the README' }, passedOver);
  }
  checkProtocol(set);
  const own = traceRatio === 1 ? undefined : { ratio: traceRatio, isParentBased: true };
  return {
    endpoint,
    ...(own ?? samplerOf(set, ignored)),
    timeoutMs: timeoutOf(set, ignored),
    resource: { 'service.name': 'hyperpolicy', 'process.pid': process.pid, ...resourceOf(set, ignored) },
  };
}

type Ignored = (name: string, expected: string) => void;

/** The variable for traces is a whole URL; the one for everything is what `/v1/traces` is added to. */
function endpointOf(set: Variables): string | undefined {
  const name = `${exporter}TRACES_ENDPOINT` in set ? `${exporter}TRACES_ENDPOINT` : `${exporter}ENDPOINT`;
  const url = set[name];
  if (url === undefined) return undefined;
  if (!isHttpUrl(url))
    throw invalidArgument({ where: name, expected: httpUrl, actual: JSON.stringify(withoutPassword(url)) });
  return name.endsWith('_TRACES_ENDPOINT') ? url : `${url.replace(/\/+$/, '')}/v1/traces`;
}

function checkProtocol(set: Variables): void {
  const name = `${exporter}TRACES_PROTOCOL` in set ? `${exporter}TRACES_PROTOCOL` : `${exporter}PROTOCOL`;
  const protocol = set[name];
  if (protocol === undefined || protocol === 'http/json' || protocol === 'http/protobuf') return;
  const remedy =
    "Name the collector's HTTP port, usually 4318, and take the variable back; or set OTEL_SDK_DISABLED=true";
  throw failedPrecondition({
    where: name,
    expected: 'http/json or http/protobuf',
    actual: JSON.stringify(protocol),
    remedy,
  });
}

const samplers: Readonly<Record<string, number | undefined>> = { always_on: 1, always_off: 0, traceidratio: undefined };

function samplerOf(set: Variables, ignored: Ignored): Pick<TraceSettings, 'ratio' | 'isParentBased'> {
  const { OTEL_TRACES_SAMPLER: name = 'parentbased_always_on', OTEL_TRACES_SAMPLER_ARG: argument = '1' } = set;
  const root = name.replace(/^parentbased_/, '');
  if (!Object.hasOwn(samplers, root)) {
    ignored('OTEL_TRACES_SAMPLER', `${Object.keys(samplers).join(', ')}, each also with parentbased_ before it`);
    return { ratio: 1, isParentBased: true };
  }
  const isParentBased = root !== name;
  const fixed = samplers[root];
  if (fixed !== undefined) return { ratio: fixed, isParentBased };
  const ratio = Number(argument);
  if (ratio >= 0 && ratio <= 1) return { ratio, isParentBased };
  ignored('OTEL_TRACES_SAMPLER_ARG', 'a number from 0 to 1');
  return { ratio: 1, isParentBased };
}

function timeoutOf(set: Variables, ignored: Ignored): number {
  const name = `${exporter}TRACES_TIMEOUT` in set ? `${exporter}TRACES_TIMEOUT` : `${exporter}TIMEOUT`;
  if (set[name] === undefined) return defaultTimeoutMs;
  const timeoutMs = Number(set[name]);
  if (Number.isInteger(timeoutMs) && timeoutMs > 0 && timeoutMs < 2 ** 31) return timeoutMs;
  ignored(name, 'milliseconds');
  return defaultTimeoutMs;
}

function resourceOf(set: Variables, ignored: Ignored): Record<string, string> {
  const { OTEL_RESOURCE_ATTRIBUTES: text, OTEL_SERVICE_NAME: name } = set;
  const resource: Record<string, string> = {};
  try {
    for (const pair of text?.split(',') ?? []) {
      const [, key, value] = /^\s*([^=]+?)\s*=(.*)$/.exec(pair)!;
      resource[decodeURIComponent(key!)] = decodeURIComponent(value!.trim());
    }
  } catch {
    ignored('OTEL_RESOURCE_ATTRIBUTES', 'key=value,key=value, other characters as %XX');
    return name === undefined ? {} : { 'service.name': name };
  }
  return name === undefined ? resource : { ...resource, 'service.name': name };
}
