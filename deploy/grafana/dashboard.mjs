/**
 * Writes the dashboard of servers and runs, over the metrics that deploy/prometheus records:
 *
 *   node deploy/grafana/dashboard.mjs > hyperpolicy.json
 *
 * Import the file in Grafana, or lay it where its provisioning looks for dashboards.
 */

const datasource = { type: 'prometheus', uid: '$source' };
const byInstance = 'instance=~"$instance"';

/** A panel of curves: [query, legend] each. */
const curves = (title, unit, ...queries) => ({
  type: 'timeseries',
  title,
  datasource,
  fieldConfig: { defaults: { unit }, overrides: [] },
  targets: queries.map(([expr, legendFormat], i) => ({ refId: String.fromCharCode(65 + i), expr, legendFormat })),
});

const rows = {
  Requests: [
    curves('Requests by method', 'reqps', [
      `hyperpolicy:requests:rate5m{${byInstance}}`,
      '{{instance}} {{method}} {{model}} {{version}}',
    ]),
    curves('Requests by code', 'reqps', [
      `hyperpolicy:requests_by_code:rate5m{${byInstance}, grpc_code!="OK"} > 0`,
      '{{instance}} {{grpc_code}}',
    ]),
    curves(
      'Latency at the server',
      's',
      [`hyperpolicy:request_seconds:p50_5m{${byInstance}}`, 'p50 {{method}} {{model}}'],
      [`hyperpolicy:request_seconds:p99_5m{${byInstance}}`, 'p99 {{method}} {{model}}'],
    ),
    curves('Used of each limit', 'percentunit', [`hyperpolicy:used:ratio{${byInstance}}`, '{{instance}} {{what}}']),
    curves(
      'In flight, and rows that wait',
      'short',
      [`hyperpolicy_requests_in_flight{${byInstance}}`, '{{instance}} requests'],
      [`hyperpolicy_stream_requests_in_flight{${byInstance}}`, '{{instance}} requests of streams'],
      [`hyperpolicy_queue_rows{${byInstance}}`, '{{instance}} rows {{model}} {{graph}}'],
    ),
    curves('Fallbacks', 'reqps', [
      `sum by (instance, fallback, reason) (rate(hyperpolicy_fallbacks_total{${byInstance}}[5m]))`,
      '{{instance}} {{fallback}} {{reason}}',
    ]),
    curves(
      'Connections',
      'short',
      [`hyperpolicy_connections{${byInstance}}`, '{{instance}} open'],
      [`increase(hyperpolicy_connections_ended_total{${byInstance}}[5m])`, '{{instance}} ended: {{reason}}'],
    ),
  ],
  Models: [
    curves('Versions that are ready', 'short', [
      `count by (instance, model) (hyperpolicy_model_version_info{${byInstance}})`,
      '{{instance}} {{model}}',
    ]),
    curves('Age of the newest weights', 's', [
      `hyperpolicy_weight_age_seconds{${byInstance}}`,
      '{{instance}} {{model}}',
    ]),
    curves('Contexts found in the cache', 'percentunit', [
      `hyperpolicy:context_cache_hits:ratio5m{${byInstance}}`,
      '{{instance}} {{cache}} {{model}}',
    ]),
    curves(
      'Bytes of the cache',
      'bytes',
      [`hyperpolicy_context_cache_bytes{${byInstance}}`, '{{instance}} {{cache}}'],
      [`hyperpolicy_max_context_cache_bytes{${byInstance}}`, '{{instance}} {{cache}}, limit'],
    ),
    curves(
      'Context handles',
      'short',
      [`hyperpolicy_context_handles{${byInstance}}`, '{{instance}}'],
      [`increase(hyperpolicy_context_handles_dropped_total{${byInstance}}[5m])`, '{{instance}} {{reason}}'],
    ),
    curves('Waiting for heavy graphs, p99', 's', [
      `hyperpolicy:queue_seconds:p99_5m{${byInstance}}`,
      '{{instance}} {{model}} {{graph}}',
    ]),
    curves('Loads', 'short', [
      `increase(hyperpolicy_model_loads_total{${byInstance}}[5m])`,
      '{{instance}} {{model}} {{result}}',
    ]),
    curves('Files read again or refused', 'short', [
      `increase(hyperpolicy_reloads_total{${byInstance}}[5m])`,
      '{{instance}} {{kind}} {{result}}',
    ]),
  ],
  Process: [
    curves('Event loop, how late', 's', [`hyperpolicy_event_loop_delay_seconds{${byInstance}}`, '{{instance}}']),
    curves('Memory', 'bytes', [`process_resident_memory_bytes{${byInstance}}`, '{{instance}}']),
    curves('Processor', 'percentunit', [`rate(process_cpu_seconds_total{${byInstance}}[5m])`, '{{instance}}']),
    curves('Spans of traces', 'cps', [
      `sum by (instance, result) (rate(hyperpolicy_trace_spans_total{${byInstance}}[5m]))`,
      '{{instance}} {{result}}',
    ]),
    curves(
      'Threads in runs that do not end',
      'short',
      [`hyperpolicy_stuck_threads{${byInstance}}`, '{{instance}}'],
      [`hyperpolicy_max_stuck_threads{${byInstance}}`, '{{instance}}, limit'],
    ),
  ],
  Training: [
    curves('Steps a second', 'short', ['rate(hyperpolicy_training_steps_total[5m])', '{{instance}}']),
    curves('Return of evaluations', 'short', ['hyperpolicy_training_evaluation_return', '{{instance}}']),
    curves('Since the last checkpoint', 's', [
      'time() - hyperpolicy_training_last_checkpoint_timestamp_seconds',
      '{{instance}}',
    ]),
  ],
};

const [width, height] = [8, 8];
let y = 0;
const panels = Object.entries(rows).flatMap(([title, row]) => {
  const header = { type: 'row', title, collapsed: false, panels: [], gridPos: { x: 0, y: y++, w: 24, h: 1 } };
  const placed = row.map((panel, i) => ({
    ...panel,
    gridPos: { x: (i % 3) * width, y: y + Math.floor(i / 3) * height, w: width, h: height },
  }));
  y += Math.ceil(row.length / 3) * height;
  return [header, ...placed];
});

const dashboard = {
  uid: 'hyperpolicy',
  title: 'hyperpolicy',
  tags: ['hyperpolicy'],
  schemaVersion: 39,
  refresh: '30s',
  time: { from: 'now-1h', to: 'now' },
  templating: {
    list: [
      { name: 'source', label: 'Prometheus', type: 'datasource', query: 'prometheus' },
      {
        name: 'instance',
        type: 'query',
        datasource,
        query: 'label_values(up{job="hyperpolicy"}, instance)',
        multi: true,
        includeAll: true,
        allValue: '.*',
        refresh: 2,
      },
    ],
  },
  panels: panels.map((panel, i) => ({ id: i + 1, ...panel })),
};

process.stdout.write(`${JSON.stringify(dashboard, null, 2)}\n`);
