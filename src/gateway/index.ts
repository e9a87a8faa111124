// gateway: one listener an environment; routes by host and path to weighted backends, swapped between two requests. Imports core only.
export { createGateway, type Gateway, type GatewayOptions } from './gateway.ts';
export type { Backend, Counts, ListenOptions, Route, Share, Tls } from './backend.ts';
