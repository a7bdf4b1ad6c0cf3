/**
 * Uses a store as somebody in a hurry would: loads, tags, removes, collects, in an order that the seed gives. Runs in Node
 * and, as text, in a page; it ends when `isOver()` says so. Failures that Docker knows are part of it.
 *
 * `inputs` are what the store loads; `me` begins the names that it gives.
 */
export async function churn(store, inputs, seed, me, isOver) {
  let state = seed >>> 0;
  const random = (below) => {
    // xorshift32: the same everywhere.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
  random(1);
  const expected = ['no-such-image', 'image-in-use', 'ambiguous-image', 'aborted'];
  const done = {};
  for (let step = 0; !isOver(step); step += 1) {
    const rows = await store.images({ all: true });
    const any = () => rows[random(rows.length)].id;
    const verb = rows.length === 0 ? 'load' : ['load', 'load', 'tag', 'tag', 'rmi', 'collect', 'undo', 'stop'][random(8)];
    try {
      if (verb === 'load') await store.load(inputs[random(inputs.length)]);
      if (verb === 'tag') await store.tag(any(), `${me}:${random(20)}`);
      if (verb === 'rmi') {
        for (const { error } of await store.rmi([any()], { force: random(2) === 0 })) {
          if (error && !expected.includes(error.code)) throw Object.assign(new Error(error.message), { code: error.code });
        }
      }
      if (verb === 'collect') await store.collect();
      if (verb === 'undo') await store.undo();
      if (verb === 'stop') {
        const control = new AbortController();
        setTimeout(() => control.abort(), random(60));
        await store.load(inputs[random(inputs.length)], { signal: control.signal });
      }
    } catch (thrown) {
      const isMoved = verb === 'undo' && thrown.code === 'store-changed';
      if (!expected.includes(thrown.code) && !isMoved) throw Object.assign(thrown, { message: `${verb}, seed ${seed}, step ${step}: ${thrown.message}` });
    }
    done[verb] = (done[verb] ?? 0) + 1;
  }
  return done;
}
