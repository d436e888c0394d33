/** A sweep for a cluster: a Slurm array or a Kubernetes Indexed Job, that runs one cell per index. */

import { basename } from 'node:path';
import { stringify } from 'yaml';
import type { Sweep } from './sweep-file.ts';

/** `npx` hands signals to a shell, and dash keeps them from the command. Bash becomes the command instead. */
const npxShell = { name: 'npm_config_script_shell', value: 'bash' };

/** @param file of the sweep, at the same path where the array runs */
export const slurmArray = ({ name, cells }: Sweep, file: string, processCount: number): string => `#!/bin/bash
#SBATCH --job-name=${name}
#SBATCH --array=0-${cells.length - 1}%${processCount}
#SBATCH --cpus-per-task=2
#SBATCH --output=${name}-%a.log
#SBATCH --requeue
# A cell ends by SIGTERM with a checkpoint; when it is requeued it goes on from there.
#SBATCH --signal=B:TERM@120
export ${npxShell.name}=${npxShell.value}
exec npx hyperpolicy sweep '${file.replaceAll("'", "'\\''")}' --cell "$SLURM_ARRAY_TASK_ID"
`;

/** The sweep's file is in a ConfigMap of its name; runs and store are on a volume claim of its name. */
export function kubernetesJob({ name, cells }: Sweep, file: string, processCount: number): string {
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
                command: ['npx', 'hyperpolicy', 'sweep', `/sweep/${key}`, '--cell', '$(JOB_COMPLETION_INDEX)'],
                env: [npxShell],
                resources: { requests: { cpu: '2', memory: '2Gi' } },
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
