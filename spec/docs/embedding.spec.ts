import { guide } from './snippets.ts'

guide('docs/embedding.md', { checks: 9 })
