/** tfjs' plain backend, "cpu". It says nothing when it is first used: by itself it advises to install another, and the README says which there are. */

import '@tensorflow/tfjs-backend-cpu';
import { enableProdMode } from '@tensorflow/tfjs-core';

// All that this switches off are the library's lines on the console.
enableProdMode();
