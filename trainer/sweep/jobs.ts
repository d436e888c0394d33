/** A sweep for a cluster: a Slurm array or a Kubernetes Indexed Job, that runs one cell per index. */

import { basename } from 'node:path';
import { stringify } from 'yaml';
import type { Sweep } from './sweep-file.ts';

/** `npx` hands signals to a shell, and dash keeps them from the command. Bash becomes the command instead. */
const npxShell = { name: 'npm_config_script_shell', value: 'bash' };

/** Cores that a job asks for, and threads of its run, unless threads are given. */
export const jobCoreCount = 2;

const coreCountOf = ({ cells }: Sweep): number =>
  Math.max(jobCoreCount, ...cells.map(({ config }) => config.threadCount));

/** A cell has the threads of its job, not those of the node that it is on, unless the file says how many. */
const threadArguments = ({ cells, givesThreads }: Sweep): string[] =>
  givesThreads ? [] : ['--threads', String(cells[0]!.config.threadCount)];

/** Of Slurm's `MaxArraySize`, which indices stay below. */
const arraySizeDefault = 1001;

/**
 * @param file of the sweep, at the same path where the array runs
 * @param processCount at a time; as many as the cluster runs unless given
 */
export function slurmArray(sweep: Sweep, file: string, processCount?: number): string {
  const { name, cells } = sweep;
  return `#!/bin/bash
#SBATCH --job-name=${name}
#SBATCH --array=0-${cells.length - 1}${processCount === undefined ? '' : `%${processCount}`}
${cells.length > arraySizeDefault ? largeArray(cells.length) : ''}#SBATCH --cpus-per-task=${coreCountOf(sweep)}
#SBATCH --output=${name}-%a.log
#SBATCH --requeue
# A cell ends by SIGTERM with a checkpoint; when it is requeued it goes on from there.
#SBATCH --signal=B:TERM@120
export ${npxShell.name}=${npxShell.value}
exec npx hyperpolicy sweep '${file.replaceAll("'", "'\\''")}' ${['--cell', '"$SLURM_ARRAY_TASK_ID"', ...threadArguments(sweep)].join(' ')}
`;
}

const largeArray = (cellCount: number): string =>
  [
    `# The cluster's MaxArraySize (scontrol show config) must be at least ${cellCount}; Slurm's default is ${arraySizeDefault}.`,
    '# Where it is less, split the grid over sweep files of the same name, such as some of the seeds in each, and print a job of each.',
    '',
  ].join('\n');

/**
 * The sweep's file is in a ConfigMap of its name; runs and store are on a volume claim of its name.
 * @param processCount at a time; all cells unless given, as the cluster has room
 */
export function kubernetesJob(sweep: Sweep, file: string, processCount = sweep.cells.length): string {
  const { name, cells } = sweep;
  const key = basename(file);
  const needs = `# Needs, in the namespace of the job:
# - an image "hyperpolicy" (or another: change \`image\`) in which \`npx hyperpolicy\` runs: npm install --global of a built checkout
# - the file: kubectl create configmap ${name} --from-file=${key}=FILE
# - a PersistentVolumeClaim "${name}" for runs and store; ReadWriteMany if pods run on several nodes
`;
  return (
    needs +
    stringify({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name },
      spec: {
        completionMode: 'Indexed',
        completions: cells.length,
        parallelism: Math.min(processCount, cells.length),
        // A pod that was evicted goes on from its checkpoint. It is no failure of its cell.
        backoffLimitPerIndex: 3,
        podFailurePolicy: { rules: [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }] },
        template: {
          spec: {
            restartPolicy: 'Never',
            terminationGracePeriodSeconds: 120,
            containers: [
              {
                name: 'cell',
                image: 'hyperpolicy',
                workingDir: '/work',
                command: [
                  'npx',
                  'hyperpolicy',
                  'sweep',
                  `/sweep/${key}`,
                  '--cell',
                  '$(JOB_COMPLETION_INDEX)',
                  ...threadArguments(sweep),
                ],
                env: [npxShell],
                resources: { requests: { cpu: String(coreCountOf(sweep)), memory: '2Gi' } },
                volumeMounts: [
                  { name: 'sweep', mountPath: '/sweep' },
                  { name: 'work', mountPath: '/work' },
                ],
              },
            ],
            volumes: [
              { name: 'sweep', configMap: { name } },
              { name: 'work', persistentVolumeClaim: { claimName: name } },
            ],
          },
        },
      },
    })
  );
}
