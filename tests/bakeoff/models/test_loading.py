import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.models.loading import load_policy
from bakeoff.models.lora import add_adapter


def test_the_built_in_model_is_an_ordinary_checkpoint_of_the_stated_size():
    policy = load_policy(ModelConfig(), init_seed=0)
    assert isinstance(policy.model, LlamaForCausalLM)
    parameters = sum(p.numel() for p in policy.model.parameters())
    assert 100_000 <= parameters <= 500_000
    assert not policy.model.training
    assert all(p.dtype == torch.float32 for p in policy.model.parameters())


def test_the_built_in_tokenizer_keeps_every_character():
    tokenizer = load_policy(ModelConfig(), init_seed=0).tokenizer
    text = "47 +8 -5 *2\n47+8=55\n#-100"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


def test_random_weights_are_a_function_of_the_initialisation_seed():
    def weights(seed):
        model = load_policy(ModelConfig(model="config:builtin"), init_seed=seed).model
        return model.get_input_embeddings().weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_saved_folder_loads_again(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    loaded = load_policy(ModelConfig(model=str(tmp_path)), init_seed=0)
    for ours, theirs in zip(policy.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert AutoModelForCausalLM.from_pretrained(tmp_path) is not None
    assert AutoTokenizer.from_pretrained(tmp_path).eos_token_id == policy.eos_token_ids[0]


def test_an_adapter_beside_a_models_weights_is_part_of_the_start(policy, tmp_path):
    pytest.importorskip("peft")
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    add_adapter(policy.model, rank=2, alpha=4.0, seed=0)
    for name, parameter in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    policy.model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_config.json").exists()
    loaded = load_policy(ModelConfig(model=str(tmp_path)), init_seed=0).model
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        assert torch.allclose(loaded(tokens).logits, policy.model(tokens).logits, atol=1e-5)
    assert not any("lora" in name for name, _ in loaded.named_parameters())
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_a_model_that_transforms_its_logits_is_refused(policy, tmp_path):
    """Granite divides its logits by a constant: log-probabilities from the head would be wrong."""
    from transformers import GraniteConfig, GraniteForCausalLM

    config = GraniteConfig(
        vocab_size=24,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        logits_scaling=8.0,
        initializer_range=0.5,
        eos_token_id=1,
        pad_token_id=0,
    )
    GraniteForCausalLM(config).save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="transforms its logits"):
        load_policy(ModelConfig(model=str(tmp_path)), init_seed=0)


def test_a_folder_without_a_tokenizer_is_refused(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no usable tokenizer"):
        load_policy(ModelConfig(model=str(tmp_path)), init_seed=0)


def test_a_tokenizer_without_an_end_token_is_refused(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        file = tmp_path / name
        if file.exists():
            settings = json.loads(file.read_text())
            settings.pop("eos_token", None)
            settings["eos_token_id"] = None
            file.write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="no end-of-sequence token"):
        load_policy(ModelConfig(model=str(tmp_path)), init_seed=0)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("./no/such/folder", "does not exist"),
        ("./no/such/file.gguf", "does not exist"),
        ("package:no_such_package/model.gguf", "is not installed"),
    ],
)
def test_a_missing_model_is_named(model, told):
    with pytest.raises(ConfigError, match=told):
        load_policy(ModelConfig(model=model), init_seed=0)


def test_a_folder_without_a_config_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        load_policy(ModelConfig(model=str(tmp_path)), init_seed=0)


def test_a_pickled_checkpoint_is_refused(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(policy.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        load_policy(ModelConfig(model=str(tmp_path)), init_seed=0)
