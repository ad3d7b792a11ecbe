/// <reference types="node" preserve="true" />
/** The HTTP gateway as a library: for programs that bring their own process. */

export { createGateway, Gateway } from "./gateway.js";
export type { CertificateFiles } from "./certificates.js";
export type { GatewayOptions } from "./gateway.js";
