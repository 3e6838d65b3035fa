/** What may be asked of a behaviour, as types alone: names, what goes in, what comes back. */
import type { Serde } from '../record.ts'

// biome-ignore lint/suspicious/noExplicitAny: the handlers of any behaviour
export type AnyHandlers = Readonly<Record<string, (...given: any[]) => unknown>>
type Way = 'query' | 'ask'

/** Handlers by name: of each its second parameter goes in, and its result comes back. */
export interface Questions {
  readonly query: AnyHandlers
  readonly ask: AnyHandlers
}

/** What can be asked: a behaviour. `any` for Q: names and inputs are not checked. */
// biome-ignore lint/suspicious/noExplicitAny: as said
export interface Questionable<K = any, Q extends Questions = any> {
  readonly name: string
  readonly key: Serde<K>
  /** @internal Types only. */
  readonly _questions?: Q
}

type QuestionsOf<B> = B extends { readonly _questions?: infer Q } ? NonNullable<Q> : Questions
type HandlerOf<B, W extends Way, N> = QuestionsOf<B>[W & keyof QuestionsOf<B>][N &
  keyof QuestionsOf<B>[W & keyof QuestionsOf<B>]]
type IsAny<T> = 0 extends 1 & T ? true : false

/** What is in the handler's second parameter; undefined where it has none. */
export type InputOf<F> = F extends (...given: infer P extends readonly unknown[]) => unknown
  ? P extends readonly [unknown?]
    ? undefined
    : P[1]
  : never

export type AskedKey<B> = B extends { readonly key: Serde<infer K> } ? K : never
/** The names of its questions. */
export type Asking<B, W extends Way> = keyof QuestionsOf<B>[W & keyof QuestionsOf<B>] & string
/** What follows the name in a call: the input where there is one, then `O`. */
export type Given<B, W extends Way, N, O extends readonly unknown[]> =
  IsAny<HandlerOf<B, W, N>> extends true
    ? [input?: unknown, ...options: O]
    : undefined extends InputOf<HandlerOf<B, W, N>>
      ? [input?: InputOf<HandlerOf<B, W, N>>, ...options: O]
      : [input: InputOf<HandlerOf<B, W, N>>, ...options: O]
export type Answered<B, W extends Way, N> =
  HandlerOf<B, W, N> extends (...given: never[]) => infer A
    ? IsAny<HandlerOf<B, W, N>> extends true
      ? unknown
      : A
    : unknown
