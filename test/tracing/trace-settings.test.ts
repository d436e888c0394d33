import { expect, onTestFinished, test, vi } from 'vitest';
import { parseServerConfig } from '../../server/config.ts';
import { readTraceSettings } from '../../src/tracing/trace-settings.ts';
import { startCollector } from '../server/collector.ts';
import { metricLines, recordingLog, startTestServer } from '../server/fixtures.ts';

const url = 'http://127.0.0.1:4318';

/** The settings that variables (without OTEL_) make, and what the log says of them. */
function read(variables: Record<string, string>, settings: { traceEndpoint?: string; traceRatio?: number } = {}) {
  const { log, lines } = recordingLog();
  const given = Object.fromEntries(Object.entries(variables).map(([name, value]) => [`OTEL_${name}`, value]));
  const traces = readTraceSettings(parseServerConfig(settings), given, log);
  return { traces, warned: lines.map(({ name }) => name) };
}
const on = { EXPORTER_OTLP_ENDPOINT: url };

test('an endpoint turns traces on; that of traces is taken as it is, and a flag goes before', () => {
  expect(read({}).traces).toBeUndefined();
  const endpoint = (...given: Parameters<typeof read>) => read(...given).traces?.endpoint;
  expect(endpoint(on)).toBe(`${url}/v1/traces`);
  expect(endpoint({ EXPORTER_OTLP_ENDPOINT: `${url}/otel/` })).toBe(`${url}/otel/v1/traces`);
  expect(endpoint({ ...on, EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/mine` })).toBe(`${url}/mine`);
  expect(endpoint(on, { traceEndpoint: 'https://collector/v1/traces' })).toBe('https://collector/v1/traces');
  expect(endpoint({ EXPORTER_OTLP_ENDPOINT: '' })).toBeUndefined();
});

test.each([
  [
    'EXPORTER_OTLP_ENDPOINT',
    'grpc://collector:4317',
    'a URL of http or https, such as http://127.0.0.1:4318/v1/traces',
  ],
  [
    'EXPORTER_OTLP_TRACES_ENDPOINT',
    'collector:4318',
    'a URL of http or https, such as http://127.0.0.1:4318/v1/traces',
  ],
  ['EXPORTER_OTLP_PROTOCOL', 'grpc', 'http/json or http/protobuf'],
])('a server does not start with OTEL_%s %s', async (name, value, expected) => {
  for (const [variable, text] of Object.entries({ ...on, [name]: value })) vi.stubEnv(`OTEL_${variable}`, text);
  onTestFinished(() => void vi.unstubAllEnvs());
  const text = `OTEL_${name}: expected ${expected}, got "${value}"`;
  await expect(startTestServer([])).rejects.toThrow(text);
});

test.each([
  ['user:pass@collector:4318', 'collector:4318'],
  ['grpc://user:pass@collector:4317', 'grpc://collector:4317'],
  ['http://user:pa/ss@collector:4318', 'http://collector:4318'],
])('a refused endpoint %s is quoted without its password', (endpoint, quoted) => {
  const refused = { where: 'OTEL_EXPORTER_OTLP_ENDPOINT', actual: JSON.stringify(quoted) };
  expect(() => read({ EXPORTER_OTLP_ENDPOINT: endpoint })).toThrow(expect.objectContaining(refused));
});

test('the value of a variable that is not known is not logged: it may hold a password', () => {
  const { log, lines } = recordingLog();
  const given = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_ZIPKIN_ENDPOINT: 'http://user:pass@zipkin:9411' };
  readTraceSettings(parseServerConfig({}), given, log);
  expect(lines).toMatchObject([{ name: 'OTEL_EXPORTER_ZIPKIN_ENDPOINT', expected: 'one of those in the README' }]);
  expect(JSON.stringify(lines)).not.toContain('pass@');
});

test('an endpoint of another scheme is refused as a setting too', () => {
  expect(() => parseServerConfig({ traceEndpoint: 'ftp://collector/v1/traces' })).toThrow(
    'server settings traceEndpoint: expected a URL of http or https, such as http://127.0.0.1:4318/v1/traces, got "ftp://collector/v1/traces"',
  );
});

test.each([
  [{}, { ratio: 1, isParentBased: true }, []],
  [{ TRACES_SAMPLER: 'always_off' }, { ratio: 0, isParentBased: false }, []],
  [{ TRACES_SAMPLER: 'traceidratio', TRACES_SAMPLER_ARG: '0.25' }, { ratio: 0.25, isParentBased: false }, []],
  [{ TRACES_SAMPLER: 'parentbased_traceidratio', TRACES_SAMPLER_ARG: '2' }, { ratio: 1 }, ['OTEL_TRACES_SAMPLER_ARG']],
  [{ TRACES_SAMPLER: 'jaeger_remote' }, { ratio: 1, isParentBased: true }, ['OTEL_TRACES_SAMPLER']],
  [{ EXPORTER_OTLP_TIMEOUT: '700', EXPORTER_OTLP_TRACES_TIMEOUT: '300' }, { timeoutMs: 300 }, []],
  [{ EXPORTER_OTLP_TIMEOUT: '5s' }, { timeoutMs: 5000 }, ['OTEL_EXPORTER_OTLP_TIMEOUT']],
  [{ BSP_MAX_QUEUE_SIZE: '9' }, { timeoutMs: 5000 }, ['OTEL_BSP_MAX_QUEUE_SIZE']],
  [{ RESOURCE_ATTRIBUTES: 'robot' }, {}, ['OTEL_RESOURCE_ATTRIBUTES']],
])('%o becomes %o, with warnings of %o', (variables, expected, warned) => {
  const found = read({ ...on, ...variables });
  expect(found.traces).toMatchObject(expected);
  expect(found.warned).toEqual(warned);
});

test('names the service as it is told, and a ratio of the settings goes before the sampler', () => {
  const named = { ...on, SERVICE_NAME: 'arm', RESOURCE_ATTRIBUTES: 'service.name=leg, deployment.environment=lab%2C2' };
  expect(read(named).traces!.resource).toMatchObject({ 'service.name': 'arm', 'deployment.environment': 'lab,2' });
  expect(read({ ...on, TRACES_SAMPLER: 'always_off' }, { traceRatio: 0.5 }).traces).toMatchObject({ ratio: 0.5 });
});

test('says that nothing is traced where the SDK is turned off beside an endpoint', () => {
  const { log, lines } = recordingLog();
  const settings = parseServerConfig({ traceEndpoint: `${url}/v1/traces` });
  for (const off of [{ OTEL_SDK_DISABLED: 'TRUE' }, { OTEL_TRACES_EXPORTER: 'none' }]) {
    expect(readTraceSettings(settings, off, log)).toBeUndefined();
  }
  expect(lines.map(({ msg }) => msg)).toEqual(
    Array(2).fill('no traces: OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER says so'),
  );
});

test('a server sends what the variables say, and counts its spans', async () => {
  const collector = await startCollector();
  const { origin } = new URL(collector.endpoint);
  const variables = { EXPORTER_OTLP_ENDPOINT: origin, EXPORTER_OTLP_HEADERS: 'x-team=arms', SERVICE_NAME: 'arm' };
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(`OTEL_${name}`, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  const started = await startTestServer([], { traceQueueCountMax: 2 });
  // Two spans each: the request, and the writing of its response.
  await Promise.all(Array.from({ length: 20 }, () => started.client.listModels()));
  const spans = async () => {
    const {
      'hyperpolicy_trace_spans_total{result="dropped"}': dropped,
      'hyperpolicy_trace_spans_total{result="sent"}': sent,
    } = await metricLines(started, 'hyperpolicy_trace_spans_total');
    return [dropped! + sent!, dropped! > 0, sent! > 0];
  };
  await expect.poll(spans, { timeout: 20_000 }).toEqual([40, true, true]);
  expect(collector.last).toMatchObject({ resource: { 'service.name': 'arm' }, headers: { 'x-team': 'arms' } });
});
