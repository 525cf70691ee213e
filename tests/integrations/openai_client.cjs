// The openai package of npm against a server of ours: prints the vectors of TEXTS, of which data URIs are pictures.
const OpenAI = require("openai").default;

async function main() {
  const client = new OpenAI({ baseURL: process.env.ONESPACE, apiKey: "none", maxRetries: 0 });
  const input = JSON.parse(process.env.TEXTS).map((one) => (one.startsWith("data:") ? { image: one } : one));
  const asked = process.env.FORM === "float" ? { encoding_format: "float" } : {};
  const told = await client.embeddings.create({ model: "onespace-mini", input, ...asked });
  console.log(JSON.stringify(told.data.map((one) => Array.from(one.embedding))));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
