/** Opens a sealed paper with the browser's own AES-GCM. */

import type { SealedPaper, Section } from './paper';

/** Returns the sections; null where this browser cannot decrypt (`crypto.subtle` exists in
 * secure contexts only) or the key does not fit. */
export async function unseal(document: SealedPaper, key: string): Promise<Section[] | null> {
  try {
    const imported = await crypto.subtle.importKey('raw', bytes(key), 'AES-GCM', false, [
      'decrypt',
    ]);
    const plain = await crypto.subtle.decrypt(
      { name: 'AES-GCM', iv: bytes(document.nonce) },
      imported,
      bytes(document.data),
    );
    return JSON.parse(new TextDecoder().decode(plain)) as Section[];
  } catch {
    return null;
  }
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}
