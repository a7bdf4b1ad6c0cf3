// A process that uses a store until it is killed, or for so many steps: SEED ME STEPS FOLDER INPUT...
import { churn } from '../support/churn.mjs';
import { longshore } from '../support/longshore.mjs';

const [seed, me, steps, folder, ...inputs] = process.argv.slice(2);
const { openStore } = await longshore();
const store = await openStore(folder);
console.log('open');
const done = await churn(store, inputs, Number(seed), me, (step) => step >= Number(steps));
await store.close();
console.log(JSON.stringify(done));
