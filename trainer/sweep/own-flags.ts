/** The flags of `train` that neither grid nor settings of a sweep may give, each with what there is instead. */

export const ownFlags: Readonly<Record<string, string>> = {
  config: 'Give what is in that file as settings',
  'metrics-host': 'The metrics of each run are in its directory',
  'metrics-port': 'The metrics of each run are in its directory',
  model: 'A model is named after its sweep and its values of the grid',
  'print-config': '--print cells prints the command of each run, which takes --print-config',
  publish: 'publish: best, last or every stands beside store, outside of grid and settings',
  resume: 'The same command goes on with runs that were begun',
  run: 'runs: FOLDER, outside of grid and settings, is where the run directories are',
  set: 'Give the setting by its dotted name',
  store: 'store: FOLDER stands outside of grid and settings',
};
