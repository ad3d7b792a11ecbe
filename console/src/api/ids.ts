/** New ids. `crypto.randomUUID` exists only where the page is served securely or from this machine. */

export function newID(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
