// home: what Cairn keeps on one machine outside the repositories: settings, server keys, people's keys, the API token.
export { createHome, homePaths, openHome, openToPass, readToken, type Home, type HomePaths, type Settings } from './home.ts';
export { createPerson, listPeople, loadPerson, personPublicKey, readPublicKey } from './people.ts';
export { putSigstoreRoots, sigstoreRoots } from './roots.ts';
export { loadSealer, type Sealer } from './seal.ts';
export { enqueue, isOutage, sendWaiting, waiting, type Sent } from './outbox.ts';
export { believedRoots, type BelievedRoots } from './believed.ts';
export { adoptNextLogKey, findNextLogKey, loadServerKeys, makeNextLogKey, type ServerKeys } from './server-keys.ts';
export { allRoles, genesisPolicy, genesisTrust, thresholdOf, type FirstPolicy } from './genesis.ts';
