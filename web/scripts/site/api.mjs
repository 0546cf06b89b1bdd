// Makes docs/openapi.json into a page, as Markdown: each call with what it takes and answers.

const methods = ['get', 'post', 'put', 'patch', 'delete'];
const cell = (text) =>
  String(text ?? '')
    .replace(/\s+/g, ' ')
    .replace(/\|/g, '\\|');

/** The name of a schema, or a few words for one that has none. */
function kind(schema) {
  if (!schema) return '';
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop();
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (schema.type === 'array') return `list of ${kind(schema.items)}`;
  if (schema.enum) return schema.enum.map((each) => `\`${each}\``).join(', ');
  const several = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (several) return several.map(kind).join(' or ');
  const type = [schema.type ?? 'any'].flat().join(' or ');
  return schema.format ? `${type} (${schema.format})` : type;
}

function call(path, method, operation) {
  const lines = [`### ${method.toUpperCase()} ${path}`, ''];
  if (operation.summary) lines.push(operation.summary, '');
  if (operation.description && operation.description !== operation.summary)
    lines.push(operation.description, '');
  if (operation.parameters?.length) {
    lines.push('| parameter | in | kind | meaning |', '| --- | --- | --- | --- |');
    for (const each of operation.parameters)
      lines.push(
        `| \`${each.name}\`${each.required ? '' : ' (optional)'} | ${each.in} | ${cell(kind(each.schema))} | ${cell(each.description)} |`,
      );
    lines.push('');
  }
  for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {}))
    lines.push(`Takes ${kind(schema)} as \`${type}\`.`, '');
  lines.push('| status | answer | meaning |', '| --- | --- | --- |');
  for (const [status, answer] of Object.entries(operation.responses ?? {})) {
    const kinds = Object.entries(answer.content ?? {}).map(
      ([type, { schema }]) => `\`${type}\`${schema ? `: ${kind(schema)}` : ''}`,
    );
    lines.push(`| ${status} | ${cell(kinds.join('; '))} | ${cell(answer.description)} |`);
  }
  return `${lines.join('\n')}\n`;
}

function schemaPart(name, schema) {
  const lines = [`### ${name}`, ''];
  if (schema.description) lines.push(schema.description, '');
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return `${lines.join('\n')}\n${kind(schema)}\n`;
  lines.push('| field | kind | meaning |', '| --- | --- | --- |');
  for (const [field, each] of properties)
    lines.push(`| \`${field}\` | ${cell(kind(each))} | ${cell(each.description)} |`);
  return `${lines.join('\n')}\n`;
}

/** The page of all calls, by their first tag, and of the kinds that they take and answer. */
export function apiPage(api) {
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of methods) {
      if (!item[method]) continue;
      const tag = item[method].tags?.[0] ?? path.split('/')[2] ?? 'other';
      groups.set(tag, [...(groups.get(tag) ?? []), call(path, method, item[method])]);
    }
  }
  const parts = ['# API', '', api.info?.description ?? '', ''];
  parts.push('The same as a file for tools: [openapi.json](openapi.json).', '');
  for (const [tag, calls] of [...groups].sort(([a], [b]) => a.localeCompare(b)))
    parts.push(`## ${tag}`, '', ...calls);
  parts.push('## Kinds', '');
  for (const [name, schema] of Object.entries(api.components?.schemas ?? {}))
    parts.push(schemaPart(name, schema));
  return parts.join('\n');
}
