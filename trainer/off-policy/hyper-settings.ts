/** Settings of a hypernetwork, which critics, policies and whole algorithms share: part of a schema. */

import { hyperInitialisations } from '../../src/nn/names.ts';
import { integer, oneOf, setting, widths, yesOrNo } from '../run/setting.ts';

/** @param options.flags what its flags begin with, `of` the hypernetwork in their help */
const hyperSettings = ({ flags, of }: { readonly flags: '--' | '--policy-'; readonly of: string }) => ({
  trunkSizes: setting(widths().optional(), {
    flag: `${flags}trunk <widths>`,
    help: `widths of the primary trunk of ${of}, e.g. 64`,
  }),
  dynamicHiddenSizes: setting(widths().optional(), {
    flag: `${flags}dynamic-hidden <widths>`,
    help: 'widths of the hidden layers of its dynamic network, e.g. 64,64',
  }),
  initialisation: setting(oneOf(hyperInitialisations).optional(), {
    flag: `${flags}init <scheme>`,
    help: `initialisation of ${of}`,
  }),
  trunkLayerNorm: setting(yesOrNo().optional(), { help: 'layer normalisation in the residual blocks of the trunk' }),
  dynamicDense: setting(yesOrNo().optional(), { help: 'a D2RL dynamic network' }),
  headRank: setting(integer(1).optional(), { help: 'rank of low-rank weight heads; full heads unless given' }),
});

/** Of an algorithm whose networks share them, or of a critic. */
export const hyperShape = hyperSettings({ flags: '--', of: 'a hypernetwork' });

/** Of a policy beside a critic that has its own. */
export const hyperPolicyShape = hyperSettings({ flags: '--policy-', of: 'a hyper policy' });
