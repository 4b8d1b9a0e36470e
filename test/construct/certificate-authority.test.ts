import { Stack } from 'aws-cdk-lib'
import { Alias, type IKey, Key, KeySpec, KeyUsage } from 'aws-cdk-lib/aws-kms'
import { describe, expect, it } from 'vitest'
import { CertificateAuthority } from '../../lib/index.ts'

const CA_ARN = 'arn:aws-cn:acm-pca:cn-north-1:111122223333:certificate-authority/1234abcd-12ab-34cd-56ef-1234567890ab'

describe('a certificate authority that is there already', () => {
  it.each([
    'my-ca',
    'arn:aws:kms:us-east-1:111122223333:key/5f0c',
    'arn:aws:acm-pca:us-east-1:111122223333:template/x',
  ])('is no ACM PCA by the ARN %s', (arn) => {
    const message = `${JSON.stringify(arn)} can't be the authority; give an ARN such as arn:aws:acm-pca:`
    expect(() => CertificateAuthority.fromAcmPcaArn(arn)).toThrow(message)
    expect(() => CertificateAuthority.fromAcmPcaArn(CA_ARN, arn)).toThrow(message)
  })

  it('is a key that can sign', () => {
    const stack = new Stack()
    const [keySpec, keyUsage] = [KeySpec.ECC_NIST_P256, KeyUsage.SIGN_VERIFY]
    const signing = new Key(stack, 'Signing', { keySpec, keyUsage })
    expect(() => CertificateAuthority.fromKmsKey(signing, Key.fromKeyArn(stack, 'Other', signing.keyArn))).not.toThrow()
    const rsa = new Key(stack, 'Rsa', { keySpec: KeySpec.RSA_2048, keyUsage })
    expect(() => CertificateAuthority.fromKmsKey(signing, rsa)).toThrow(
      /key of spec RSA_2048 for SIGN_VERIFY, which can't/,
    )
    expect(() => CertificateAuthority.fromKmsKey(new Key(stack, 'Symmetric'))).toThrow(
      /Default\/Symmetric is a key of spec SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT, which can't sign certificates; make it with/,
    )
  })

  it('is no alias, on which IAM gives no rights', () => {
    const stack = new Stack()
    const aliases: IKey[] = [
      Alias.fromAliasName(stack, 'Imported', 'alias/mesh'),
      new Alias(stack, 'Own', { aliasName: 'alias/own', targetKey: new Key(stack, 'Key') }),
    ]
    for (const alias of aliases) {
      expect(() => CertificateAuthority.fromKmsKey(alias)).toThrow(
        /is an alias, on which no rights can be given; give the key/,
      )
    }
    const arn = 'arn:aws:kms:us-east-1:111122223333:alias/mesh'
    expect(() => CertificateAuthority.fromKmsKey(Key.fromKeyArn(stack, 'ByArn', arn))).toThrow(/alias\/mesh" can't be/)
  })
})
