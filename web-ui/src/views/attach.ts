// From files to content blocks, as far as the agent takes them.

import type { Block } from "../protocol";

const LARGEST = 16 * 1024 * 1024;
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** A sentence for a person when the file cannot be sent. */
export async function blockOf(file: File, accepts: readonly string[] | undefined): Promise<Block | string> {
  const uri = `file:///${encodeURIComponent(file.name || "pasted")}`;
  if (PICTURES.includes(file.type)) {
    if (accepts && !accepts.includes("image")) return `This agent takes no images, so ${file.name} was not attached`;
    const data = await shrunk(file);
    return { type: "image", mimeType: data.type, data: data.base64, uri };
  }
  if (file.size > LARGEST) return `${file.name} is too large`;
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text: string | null = null;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    // No text.
  }
  if (text === null) return `${file.name} is neither text nor an image that agents take`;
  if (!accepts || accepts.includes("resource")) return { type: "resource", resource: { uri, mimeType: file.type || "text/plain", text } };
  return { type: "text", text: `${file.name}:\n\n\`\`\`\n${text}\n\`\`\`` };
}

export function sizeOf(block: Block): number {
  return (block.data?.length ?? 0) + (block.resource?.text?.length ?? 0) + (block.type === "text" ? (block.text?.length ?? 0) : 0);
}

/** An image small enough for one line to the daemon: as it is, or drawn anew. */
async function shrunk(file: File): Promise<{ type: string; base64: string }> {
  if (file.size < 500_000) return { type: file.type, base64: await base64(file) };
  const picture = await createImageBitmap(file);
  for (let side = 2000; ; side *= 0.7) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    const canvas = new OffscreenCanvas(Math.round(picture.width * scale), Math.round(picture.height * scale));
    canvas.getContext("2d")!.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    if (blob.size < 600_000 || side < 300) return { type: "image/jpeg", base64: await base64(blob) };
  }
}

function base64(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error ?? new Error("the file cannot be read"));
    reader.readAsDataURL(blob);
  });
}
