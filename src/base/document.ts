/** A text with a name: what data readers give and tokenizers and packing take. */
export interface TextDocument {
  /** Unique within its source, and stable from run to run: a path, a line, a chapter. */
  readonly id: string;
  readonly text: string;
}
